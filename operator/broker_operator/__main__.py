"""`broker-operator`, also `python -m broker_operator`."""

from broker_operator.cli.main import main

if __name__ == "__main__":
    main()
