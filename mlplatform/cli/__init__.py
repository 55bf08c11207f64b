"""The mlplatform command."""
