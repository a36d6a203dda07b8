"""The contract: what every backend must do, each test run against every installed backend."""
