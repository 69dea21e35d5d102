"""Kills and failing system calls: what the program leaves, and how it goes on."""
