"""What every other folder may use: errors, named tables, typed records, text forms, files. No torch here."""
