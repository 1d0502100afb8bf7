"""What a study leaves behind: its workdir, provenance, tables, event files and progress."""
