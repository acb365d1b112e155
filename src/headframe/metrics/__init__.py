"""What predictions are measured by: functions of how often each row is drawn."""
