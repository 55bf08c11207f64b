"""DuckLake: connections, transactions, snapshots, maintenance. No Dagster here."""
