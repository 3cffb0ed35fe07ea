"""What every other folder imports: errors, named tables, typed records, text forms, files."""
