"""The commands, in a module each for what they are about. What a command needs is imported when it runs."""
