"""The figures: functions that take results and return a matplotlib figure; nothing is computed or saved here."""
