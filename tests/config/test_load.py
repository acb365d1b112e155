"""A plan is composed right or refused in one sentence, before anything runs."""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from headframe.config.load import as_yaml, expand, load_plan
from headframe.config.plan.plan import VersionPlan
from headframe.config.project import Project
from headframe.digests import write_record
from headframe.errors import ConfigurationError

REPOSITORY = Project(Path(__file__).resolve().parents[2])
EXPERIMENTS = REPOSITORY.choices("experiment")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_shipped_experiment_composes(name: str, repository: Project) -> None:
    plan = load_plan([f"experiment={name}"], repository)
    assert plan.name == name


@pytest.mark.parametrize(
    ("group", "name"),
    [
        (group, name)
        for group in ("dataset", "features", "task", "model", "method", "optimizer", "scheduler", "trainer", "launcher")
        for name in REPOSITORY.choices(group)
    ],
)
def test_every_shipped_choice_names_real_settings(group: str, name: str, repository: Project) -> None:
    """A choice may not fit the default plan, but then it must be refused as a pair, not as misspelt."""
    refused = ""
    try:
        load_plan([f"{group}={name}"], repository)
    except ConfigurationError as error:
        refused = str(error)
    assert not refused or any(f" {verb} " in refused for verb in ("fit", "takes", "learn"))


@pytest.mark.parametrize("group", ["model", "features", "optimizer", "scheduler", "task", "trainer"])
def test_choices_of_one_class_offer_the_same_settings(group: str) -> None:
    """What one file lists, a user of the other would have to add with a +; an ensemble is what its file makes it."""
    offered: dict[str, dict[str, set[str]]] = {}
    for name in REPOSITORY.choices(group):
        content = yaml.safe_load((REPOSITORY.conf / group / f"{name}.yaml").read_text())
        component = content.get("encoder", content)
        if "defaults" not in content:
            offered.setdefault(component.get("_target_", group), {})[name] = set(component)
    for target, choices in offered.items():
        every = set.union(*choices.values())
        assert {name: every - keys for name, keys in choices.items() if every - keys} == {}, target


@pytest.mark.parametrize("name", REPOSITORY.choices("dataset"))
def test_data_can_be_brought_in_without_features_and_model_that_fit(name: str, repository: Project) -> None:
    assert load_plan([f"dataset={name}"], repository, fitting=False).dataset.name == name


def test_an_unknown_source_scheme_is_refused_at_loading(repository: Project) -> None:
    override = "dataset.sources.pixels.uri=pakage:sklearn/datasets/data/digits.csv.gz"
    with pytest.raises(ConfigurationError, match=r"^dataset\.sources\.pixels\.uri: .*\(file:, folder:, package:\)"):
        load_plan([override], repository)


def test_a_plan_survives_being_written_and_read(repository: Project, tmp_path: Path) -> None:
    plan = load_plan(["experiment=digits_ensemble"], repository)
    write_record(tmp_path / "plan.json", plan.version)
    again = VersionPlan.model_validate_json((tmp_path / "plan.json").read_bytes())
    assert again == plan.version
    assert again.fingerprint == plan.version.fingerprint


def test_the_printed_plan_is_the_plan(repository: Project) -> None:
    plan = load_plan([], repository)
    assert yaml.safe_load(as_yaml(plan)) == plan.model_dump(mode="json")


def test_plans_are_frozen(repository: Project) -> None:
    plan = load_plan([], repository)
    with pytest.raises(ValueError, match="frozen"):
        plan.seed = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("model=cn", ["model=cn", "conf/model/cn.yaml", "'cnn'"]),
        ("trainer.max_epoch=3", ["trainer.max_epoch", "no such key", "'max_epochs'"]),
        ("+trainer.max_epoch=3", ["trainer.max_epoch", "no such key", "'max_epochs'"]),
        ("trainr.max_epochs=3", ["trainr.max_epochs", "no such key"]),
        ("sed=3", ["sed", "'seed'"]),
        ("+model.widhts=[3]", ["model.widhts", "ConvNet has no such setting", "'widths'"]),
        ("model.dropout=much", ["model.dropout='much'", "ConvNet expects a number (at least 0, less than 1)"]),
        ("model.dropout=7", ["model.dropout=7", "ConvNet expects a number (at least 0, less than 1)"]),
        ("model.kernel=4", ["model.kernel=4", "ConvNet expects an odd number (at least 1)"]),
        ("model.dropout=nan", ["model.dropout=nan", "finite number"]),
        ("model.widths=[[16],[]]", ["model.widths=[[16], []]", "a list of 1 or more"]),
        ("model.widths=[[16,inf]]", ["model.widths.0.1=inf", "finite number"]),
        ("model.tiny.widths=3", ["model.tiny.widths=3", "ConvNet expects a list"]),
        ("model.widths.x=3", ["model.widths.x", "model.widths is a list", "model.widths=["]),
        ("+model.copies=3", ["model.copies", "ConvNet has no such setting"]),
        ("optimizer.lr=-1", ["optimizer.lr=-1", "AdamW expects a number (greater than 0)"]),
        ("optimizer.betas=[0.9]", ["optimizer.betas=[0.9]", "AdamW expects a list of 2"]),
        ("optimizer.weight_decay=-1", ["optimizer.weight_decay=-1", "AdamW expects a number (at least 0)"]),
        (
            "dataset.split.validation=2",
            ["dataset.split.validation=2", "HashSplitter expects a number (at least 0, less"],
        ),
        ("launcher.minutes=-3", ["launcher.minutes=-3", "Local expects a number (greater than 0) or null"]),
        ("scheduler.warm_up=3", ["scheduler.warm_up=3", "one_cycle expects a number (at least 0, less than 1)"]),
        ("method.label_smoothing=1", ["method.label_smoothing=1", "Supervised expects a number"]),
        ("promotion.gates.minimum.value=nan", ["promotion.gates.minimum.value=nan", "finite number"]),
        ("trainer.gradient_clip=inf", ["trainer.gradient_clip=inf", "finite number"]),
        ("+dataset.contract.columns.digit.maxx=3", ["dataset.contract.columns.digit.maxx", "'max'"]),
        ("dataset.max_rejected=3", ["dataset.max_rejected", "+dataset.max_rejected=VALUE"]),
        ("+seed=3", ["seed: the plan has this key already"]),
        ("~trainer.max_epoch", ["trainer.max_epoch", "no such key", "'max_epochs'"]),
        ("trainer.max_epochs.x=3", ["trainer.max_epochs.x", "trainer.max_epochs is a value"]),
        ("baseline.model.C=3", ["baseline.model.C", "baseline is null", "logistic"]),
        ("trainer.max_epochs=0", ["trainer.max_epochs=0", "greater than or equal to 1"]),
        ("trainer.max_epochs=many", ["trainer.max_epochs='many'", "integer"]),
        ("trainer.precision=64-true", ["trainer.precision=64-true", "bf16-mixed"]),
        ("seed=-1", ["seed=-1", "greater than or equal to 0"]),
        ("task=forecasting", ["task forecasting", "dataset digits", "classification", "choose task=classification"]),
        (
            "features=tokens_word",
            [
                "encoder Tokens takes columns of string",
                "'image' of dataset digits is tensor",
                "choose features=image or",
            ],
        ),
        (
            "dataset=adult",
            ["encoder Images takes one column of tensor", "dataset adult has 14 inputs"],
        ),
        ("dataset=sms_spam", ["encoder Images takes columns of tensor", "'text' of dataset sms_spam is string"]),
        (
            "features.encoder.column=digit",
            ["encoder Images reads column 'digit'", "no input of dataset digits"],
        ),
        ("model=ridge", ["Ridge", "classification", "regression", "choose model="]),
        ("model._target_=os.system", ["'os.system'", "outside the trusted packages"]),
        ("model._target_=headframe.models.cnn.ConvNett", ["defines no ConvNett", "'ConvNet'"]),
        ("model._target_=headframe.models.cnn.nn", ["defines no nn"]),
        ("model._target_=headframe.config.plan.plan.BaseModel", ["defines no BaseModel"]),
        ("model._target_=headframe.models.cmn.ConvNet", ["there is no module headframe.models.cmn"]),
        ("+model.extra={_target_: subprocess.Popen}", ["'subprocess.Popen'", "outside the trusted packages"]),
        ("trainer={accelerator: cpu, precision: 16-mixed, max_epochs: 1, batch_size: 1}", ["16-mixed", "GPU"]),
        ("experiment=digits_ensembel", ["experiment=digits_ensembel", "'digits_ensemble'"]),
        ("model", ["key=value"]),
        ("=", ["'='", "key=value"]),
        ("@=1", ["'@=1'", "key=value"]),
        ("model=", ["model=", "conf/model", "choose one of"]),
        ("model=1", ["model=1", "conf/model", "choose one of"]),
        ("experiment=null", ["experiment=null", "conf/experiment"]),
        ("baseline=null", ["baseline=null", "did you mean 'none'?"]),
        ("+model=cnn", ["model: the plan has a choice of model already", "leave out the +"]),
        ("model@here=cnn", ["model@here: the plan has no choice of model at here", "model=NAME"]),
        ("hydra.run.dir=here", ["hydra.run.dir=here", "no effect"]),
        ("hydra/output=default", ["hydra/output=default", "no effect"]),
        ("hydra/output@here=default", ["hydra/output@here=default", "no effect"]),
        ("evaluation.resamples=1e9", ["evaluation.resamples", "100000"]),
        ("seed=[1", ["seed=[1"]),
        ("seed=true", ["seed=true: expected a number, and no truth value"]),
        ("trainer.max_epochs=false", ["trainer.max_epochs=False", "greater than or equal to 1"]),
        ("evaluation.confidence=true", ["evaluation.confidence=True", "less than 1"]),
        ("+optimizer.amsgrad=1", ["optimizer.amsgrad=1", "true or false"]),
        ("name=Größe", ["'name=Größe' is no override", "stands in quotes, as in 'name=\"Größe\"'"]),
        ("name='Größe'", ["name='Größe': expected a name of small letters, digits, - and _"]),
        ("dataset.inputs=image", ["dataset.inputs='image': expected a list, as in dataset.inputs=[a,b]"]),
        ("dataset.inputs=[]", ["dataset.inputs=[]: expected at least one entry"]),
        ("dataset.inputs={a: 1}", ["dataset.inputs is a list, and has no keys"]),
        ("dataset.sources=null", ["dataset.sources=null: expected keys with values"]),
        ("dataset.sources.pixels.uri='file:'", ["expected SCHEME:ADDRESS, as in file:raw/rows.csv"]),
        ("dataset.sources.pixels.sha256=abc", ["expected 64 digits 0 to 9 and a to f"]),
        ("dataset.contract.columns=[a]", ["dataset.contract.columns has keys with values, and is no list"]),
        ("dataset.contract.columns.digit=int", ["dataset.contract.columns.digit='int': expected keys with values"]),
        ("dataset.contract.columns.image.shape=[8,8,0]", ["image.shape.2=0", "greater than or equal to 1"]),
        ("dataset.contract.columns.image.min=20", ["columns.image: min 20 is greater than max 16"]),
        ("+dataset.contract.max_rows=10", ["dataset.contract: min_rows 1000 is greater than max_rows 10"]),
        ("dataset.contract.columns.digit.one_of=[]", ["digit.one_of: it lists no value, so no cell would do"]),
        ("+dataset.contract.columns.x={dtype: string, matches: '[a'}", ["x.matches: '[a' is no regular expression"]),
        ("+dataset.contract.columns.x={dtype: string, min_length: 5, max_length: 2}", ["x: min_length 5 is greater"]),
        ("+dataset.contract.columns.x={dtype: tensor, shape: [99999, 99999]}", ["9,999,800,001 numbers a row"]),
        ("serving.host=''", ["serving.host='': expected text that is not empty"]),
        ("promotion.gates={}", ["promotion.gates={} changes nothing", "~promotion.gates.NAME"]),
        ("+promotion.gates.Big={_target_: headframe.gates.minimum.Minimum}", ["promotion.gates.Big='Big': expected a"]),
        ("name=${nothing:1}", ["${nothing:...}: a plan refers to its own keys alone"]),
        ("dataset.title=${oc.env:HOME}", ["${oc.env:...}: a plan refers to its own keys alone"]),
        ("dataset.title=${now:%Y}", ["${now:...}: a plan refers to its own keys alone"]),
        (f"dataset.inputs={'x' * 5000}", [f"dataset.inputs='{'x' * 199}...: expected a list"]),
    ],
)
def test_a_mistake_is_refused_with_one_helpful_sentence(override: str, words: list[str], repository: Project) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_plan(expand([override])[0], repository)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ("model=logistic +model.max_itr=5", ["model.max_itr", "LogisticRegression has no such", "'max_iter'"]),
        ("model=logistic model.C=much", ["model.C='much'", "LogisticRegression expects a number (greater than 0)"]),
        ("model=random_forest_classifier model.max_features=sqr", ["model.max_features='sqr'", "'sqrt'"]),
        ("model=lstm model.cell=lsmt", ["model.cell='lsmt'", "RecurrentNet expects one of lstm, gru", "'lstm'"]),
        ("model=cnn_lstm_stacked +model.strength=0", ["model.strength=0", "Stacking expects a number (greater"]),
        ("model=cnn_lstm_mean +model.copis=2", ["model.copis", "Mean has no such setting", "'copies'"]),
        ("baseline=logistic baseline.model.C=0", ["baseline.model.C=0", "LogisticRegression expects"]),
        ("optimizer=sgd optimizer.momentum=1", ["optimizer.momentum=1", "SGD expects"]),
        (
            "experiment=digits_ensemble +model.members.lstm.trainer.max_epoch=3",
            ["model.members.lstm.trainer.max_epoch:", "'max_epochs'"],
        ),
        (
            "experiment=digits_ensemble model.members.lstm.trainer.max_epochs=0",
            ["model.members.lstm.trainer.max_epochs=0", "greater than or equal to 1"],
        ),
        (
            "experiment=digits_ensemble model.members.cnn.model.widhts=3",
            ["model.members.cnn.model.widhts:", "'widths'"],
        ),
        ("experiment=digits_ensemble model.members.gru.model.hidden=3", ["for 'gru'", "choose one of cnn, lstm"]),
        ("experiment=digits_ensemble +model.members.cnn.modle=3", ["model.members.cnn.modle:", "'model'"]),
        ("experiment=digits_ensemble trainer.max_epochs=3 trainer.batch_sise=3", ["'batch_size'"]),
        ("trainer.batch_sise=3 experiment=digits_ensemble", ["'batch_size'"]),
        ("model=cnn_lstm_mean model.members=null", ["model.members=null: expected keys with values"]),
        ("model=cnn_lstm_mean model.members={}", ["model.members={} changes nothing"]),
        (
            "dataset=sms_spam model=cnn_lstm_mean features=tokens_word +model.copies=2",
            [
                "model.members.cnn ConvNet takes image, but its features give tokens",
                "choose model=gru or lstm or sequence_cnn",
            ],
        ),
    ],
)
def test_a_mistake_is_seen_in_the_plan_that_the_other_overrides_make(
    overrides: str, words: list[str], repository: Project
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_plan(overrides.split(), repository)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("mistake", ["optimizer.lr=-1", "model.dropout=nan", "promotion.gates.minimum.value=inf"])
def test_a_mistake_ends_the_command_before_anything_runs(mistake: str, project: Project) -> None:
    command = [sys.executable, "-m", "headframe", "run", "--project", str(project.root), mistake]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == ConfigurationError.exit_code
    assert done.stderr.splitlines()[-1].startswith(f"headframe: {mistake}: ")
    assert "Traceback" not in done.stderr
    assert not project.state.exists()


def test_threads_may_compose_at_once(repository: Project) -> None:
    with ThreadPoolExecutor(8) as pool:
        plans = list(pool.map(lambda seed: load_plan([f"seed={seed}"], repository), range(16)))
    assert [plan.seed for plan in plans] == list(range(16))


def test_several_runs_in_one_line() -> None:
    assert expand(["model=cnn,mlp", "seed=range(2)", "name=x"]) == [
        ["model=cnn", "seed=0", "name=x"],
        ["model=cnn", "seed=1", "name=x"],
        ["model=mlp", "seed=0", "name=x"],
        ["model=mlp", "seed=1", "name=x"],
    ]


@pytest.mark.parametrize(
    "lines",
    [
        ["a0: &a0 [1, 1]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40))],
        ["a0: &a0 {x: 1}", *(f"a{n}: &a{n} {{x: *a{n - 1}, y: *a{n - 1}}}" for n in range(1, 40))],
        ["a: &a [*a]"],
    ],
)
def test_aliases_that_multiply_are_refused_before_they_fill_the_memory(lines: list[str], project: Project) -> None:
    (project.conf / "model" / "odd.yaml").write_text("_target_: mine.Net\nextra:\n  " + "\n  ".join(lines) + "\n")
    with pytest.raises(ConfigurationError, match=r"odd\.yaml has more than 100,000 values with its aliases"):
        load_plan(["model=odd"], project)
    (project.conf / "model" / "odd.yaml").write_text("_target_: mine.Net\nextra: [&a [1], *a]\n")
    load_plan([], project)


REFERENCES = [
    ["a0: x", *(f"a{n}: ${{model.extra.a{n - 1}}}${{.a{n - 1}}}" for n in range(1, 40))],
    ["a0: [1]", *(f"a{n}: ['${{model.extra.a{n - 1}}}', '${{model.extra.a{n - 1}}}']" for n in range(1, 40))],
    ["a0: {x: 1}", *(f"a{n}: {{x: '${{model.extra.a{n - 1}}}', y: '${{..a{n - 1}}}'}}" for n in range(1, 40))],
    [f"a0: {'x' * 50_000}", f"a39: {'${.a0}' * 1000}"],
]


@pytest.mark.parametrize("lines", REFERENCES)
def test_references_that_multiply_are_refused_before_they_fill_the_memory(lines: list[str], project: Project) -> None:
    content = (project.conf / "model" / "mlp.yaml").read_text()
    (project.conf / "model" / "odd.yaml").write_text(f"{content}extra:\n  " + "\n  ".join(lines) + "\n")
    with pytest.raises(ConfigurationError, match=r"references \(\$\{...\}\) of the plan give more than 1,000,000 char"):
        load_plan(["model=odd"], project)
    load_plan([], project)


def test_references_that_multiply_are_refused_in_overrides_and_while_files_are_merged(project: Project) -> None:
    overrides = ["+a0=x", *(f"+a{n}=${{a{n - 1}}}${{a{n - 1}}}" for n in range(1, 40))]
    for more in ([], ["+a39.x=1"]):
        with pytest.raises(ConfigurationError, match="write fewer"):
            load_plan([*overrides, *more], project)
    assert load_plan(["name=" + "${seed}" * 30], project).name == "17" * 30


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["seed=range(10000000000)"], "seed=range(10000000000): these are more than 10,000 plans"),
        (["seed=shuffle(range(10000000000))"], "more than 10,000 plans"),
        (["seed=range(0,1,1e-20)"], "more than 10,000 plans"),
        (["seed=range(5000)", "trainer.max_epochs=range(5000)"], "more than 10,000 plans; give them in several"),
        (["+x=" + "a" * 20_000], "aaa...: an override has at most 10,000 characters"),
        (["+x=" + "[" * 1500 + "]" * 1500], "[[[...: this is nested too deeply to be read"),
        (["+" + "x." * 3000 + "y=1"], "x.x...: no key of a plan is that long"),
    ],
)
def test_overrides_of_absurd_size_are_refused(overrides: list[str], words: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        expand(overrides)
    assert expand(["seed=shuffle(range(2))"]) in ([["seed=0"], ["seed=1"]], [["seed=1"], ["seed=0"]])


def test_a_plan_reads_nothing_but_its_own_keys(project: Project) -> None:
    """Whatever else OmegaConf or Hydra can compute is not there: variables of the environment, the time, files."""
    from omegaconf.basecontainer import BaseContainer

    load_plan([], project)
    assert BaseContainer._resolvers == {}
    file = project.conf / "dataset" / "digits.yaml"
    file.write_text(file.read_text().replace("title: ", "title: ${oc.env:HOME} # ", 1))
    with pytest.raises(ConfigurationError, match=r"\$\{oc\.env:\.\.\.\}: a plan refers"):
        load_plan([], project)


def test_a_target_may_come_from_the_projects_own_source(project: Project) -> None:
    package = project.root / "src" / "mine"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "net.py").write_text(
        "from torch import nn\n\nclass Net(nn.Module):\n    def __init__(self, inputs, outputs, *, width: int = 3): 0\n"
    )
    (project.conf / "model" / "net.yaml").write_text(
        "_target_: mine.net.Net\ntasks: [classification]\ntakes: [image]\nwidth: 4\n"
    )
    assert load_plan(["model=net"], project).model.target == "mine.net.Net"
    with pytest.raises(ConfigurationError, match="Net has no such setting; did you mean 'width'"):
        load_plan(["model=net", "+model.widht=5"], project)
    with pytest.raises(ConfigurationError, match=r"model\.width='5': Net expects a whole number"):
        load_plan(["model=net", "model.width='5'"], project)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"_target_: x\n\ta: [1\n", ["conf/model/odd.yaml, line 2", "no YAML"]),
        (b"<<<<<<< HEAD\n_target_: x\n=======\n_target_: y\n", ["conf/model/odd.yaml, line 2", "<<<<<<<"]),
        (b"a: 1\nb: 2\na: 3\n", ["conf/model/odd.yaml, line 3", "duplicate key a"]),
        (b"_target_: x\n# sch\xf6n\n", ["conf/model/odd.yaml, line 2", "no UTF-8"]),
        (b'_target_: x\nname: "\x07"\n', ["conf/model/odd.yaml, line 2", "a character that YAML does not allow"]),
        (b"defaults: 3\n", ["model/odd", "must be a list"]),
        (b"_target_: ${nowhere\n", ["a value that cannot be read", "${nowhere"]),
    ],
)
def test_a_damaged_file_is_named_with_its_line(content: bytes, words: list[str], project: Project) -> None:
    (project.conf / "model" / "odd.yaml").write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        load_plan(["model=odd"], project)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_a_damaged_root_of_the_plan_is_named_as_well(project: Project) -> None:
    (project.conf / "plan.yaml").write_text("<<<<<<< HEAD\nseed: 1\n=======\n")
    with pytest.raises(ConfigurationError, match=r"^conf/plan\.yaml, line 2: this is no YAML"):
        load_plan([], project)


def test_two_data_sets_of_one_name_do_not_fight_over_one_folder(project: Project) -> None:
    folder = project.conf / "dataset"
    (folder / "mine.yaml").write_text((folder / "digits.yaml").read_text())
    with pytest.raises(ConfigurationError, match=r"dataset\.name=digits: expected mine, .*conf/dataset/mine\.yaml"):
        load_plan(["dataset=mine"], project)
    (folder / "mine.yaml").write_text((folder / "digits.yaml").read_text().replace("name: digits", "name: mine"))
    assert load_plan(["dataset=mine"], project).dataset.name == "mine"


def test_a_mistake_in_a_projects_own_source_is_named_with_its_line(project: Project) -> None:
    package = project.root / "src" / "mine"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "net.py").write_text("class Net:\n    def __init__(self:\n")
    with pytest.raises(ConfigurationError, match=r"mine/net\.py, line 2: this is no Python"):
        load_plan(["model._target_=mine.net.Net"], project)


def test_the_configuration_imports_nothing_heavy() -> None:
    heavy = ("torch", "mlflow", "prefect", "lightning", "sklearn", "great_expectations", "dvc", "pandas", "numpy")
    code = (
        "import sys; from pathlib import Path; from headframe.config.load import load_plan;"
        "from headframe.config.project import Project;"
        f"load_plan(['experiment=digits_ensemble'], Project(Path({str(REPOSITORY.root)!r})));"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["model=cnn", "model=mlp"], "model"),
        (["model=cnn", "model=cnn"], "model"),
        (["trainer.max_epochs=1", "trainer.max_epochs=2"], "trainer.max_epochs"),
        (["++trainer.max_epochs=1", "trainer.max_epochs=2"], "trainer.max_epochs"),
        (["+trainer.compile=true", "++trainer.compile=false"], "trainer.compile"),
        (["seed=1,2", "seed=3"], "seed"),
        (["model=cnn", "seed=4", "seed=range(3)"], "seed"),
        (["~baseline", "baseline=logistic"], "baseline"),
        (["trainer.max_epochs=1", "trainer={max_epochs:2}"], "trainer.max_epochs"),
        (["trainer={max_epochs:2,batch_size:3}", "trainer.batch_size=4"], "trainer.batch_size"),
        (["trainer.early_stopping={patience:3}", "trainer.early_stopping=null"], "trainer.early_stopping"),
        (["promotion.gates.minimum.value=0.9", "promotion.gates={}"], "promotion.gates"),
    ],
)
def test_a_key_that_is_given_twice_is_refused_with_both(overrides: list[str], key: str, repository: Project) -> None:
    *_, first, second = overrides
    message = f"{first} and {second} both give {key}; leave one of them out"
    with pytest.raises(ConfigurationError) as caught:
        expand(overrides)
    assert str(caught.value) == message
    if "," not in first and "(" not in second:  # what a deployment gets is no sweep
        with pytest.raises(ConfigurationError) as caught:
            load_plan(overrides, repository)
        assert str(caught.value) == message


@pytest.mark.parametrize(
    "overrides",
    [
        ["model.dropout=0", "model=cnn"],
        ["trainer.max_epochs=1", "trainer.batch_size=2"],
        ["+trainer.early_stopping={patience:3}", "trainer.early_stopping.min_delta=0.1"],
    ],
)
def test_a_choice_and_values_in_it_are_different_keys(overrides: list[str]) -> None:
    assert expand(overrides) == [overrides]


@pytest.mark.parametrize("sweep", ["seed=range(1,9,0)", "seed=interval(1,3)", "model=glob(*)"])
def test_a_sweep_that_lists_no_values_is_refused(sweep: str) -> None:
    with pytest.raises(ConfigurationError, match=r"lists no values; write them as in (seed|model)=A,B,C"):
        expand([sweep])


def test_a_folder_is_no_choice(project: Project) -> None:
    (project.conf / "model" / "cnns.yaml").mkdir()
    with pytest.raises(ConfigurationError, match=r"no conf/model/cnns\.yaml; did you mean 'cnn'\?"):
        load_plan(["model=cnns"], project)
    with pytest.raises(ConfigurationError, match=r"choose model="):  # which reads all choices
        load_plan(["model=ridge"], project)


def test_a_sweep_without_a_value_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"'seed=range\(0\)' names no value"):
        expand(["seed=range(0)"])


@pytest.mark.parametrize(
    ("file", "content", "overrides", "words"),
    [
        ("experiment/loop.yaml", "# @package _global_\ndefaults:\n  - loop\n", ["experiment=loop"], "includes itself"),
        ("plan.yaml", "- a\n", [], "conf/plan.yaml is a list; expected keys with values"),
        ("model/odd.yaml", "_target_: headframe.models.cnn.ConvNet\nyes: 2\n", ["model=odd"], "expected text as key"),
        (
            "team/own.yaml",
            "",
            ["name=${promotion.model}", "promotion.model=${name}"],
            "refer to each other in",
        ),
    ],
)
def test_a_file_of_another_shape_is_one_sentence(
    file: str, content: str, overrides: list[str], words: str, project: Project
) -> None:
    (project.conf / file).write_text(content)
    with pytest.raises(ConfigurationError) as caught:
        load_plan(overrides, project)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_ensemble_of_predictions_that_cannot_be_merged_is_refused(project: Project) -> None:
    source = project.root / "src" / "mine"
    source.mkdir(parents=True)
    (source / "__init__.py").write_text("")
    (source / "boxes.py").write_text(
        "from headframe.tasks.base import Task\n\n\nclass Boxes(Task):\n    kind = 'boxes'\n"
    )
    (project.conf / "task" / "boxes.yaml").write_text("_target_: mine.boxes.Boxes\nkind: classification\n")
    single = ["task=boxes", "dataset=digits", "baseline=none"]
    assert load_plan(single, project).task.target == "mine.boxes.Boxes"
    with pytest.raises(ConfigurationError, match="model Mean merges the predictions of its members, and those of task"):
        load_plan([*single, "model=cnn_lstm_mean"], project)
