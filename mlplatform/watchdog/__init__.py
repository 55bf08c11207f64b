"""What is looked at that no run tells of: disks, sensors, sources, backlogs. No Dagster here."""
