"""What every part stands on: ids, the clock, money, errors, set-based SQL. Imports nothing of ours."""
