"""The home folder, atomic files, locks and downloads."""
