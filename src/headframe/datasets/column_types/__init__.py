"""Types of column that a contract may name, one module each; a type exists because its file exists.

A module `my_type.py` holds a class `MyType`. It is looked up by its name, never imported by others, so that a new type
changes no code that existing results depend on.
"""
