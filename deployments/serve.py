"""The same as `spillover serve`, from Python: uv run python deployments/serve.py"""

from flows.server import use_server


def main(at_once: int = 2) -> None:
    use_server()
    from flows.serve import serve  # prefect reads its settings when it is imported

    serve(at_once)


if __name__ == "__main__":
    main()
