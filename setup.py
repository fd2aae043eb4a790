"""Puts configs, tools and the model index under ``mmc_plugin/.mim``; all else is in setup.cfg."""

import shutil
from pathlib import Path

from setuptools import Command, setup
from setuptools.command.build import build

MIM_FILES = ('configs', 'tools', 'model-index.yml')
MIM_FOLDER = Path('mmc_plugin', '.mim')


class BuildMim(Command):
    """Fills ``mmc_plugin/.mim``, where mim and mmengine look for a package's configs and tools.

    An editable install gets none: mim and ``mmc_plugin.engine.cli`` then look beside the package,
    and a second way to the same files would make names ambiguous for mim.
    """

    description = 'put configs, tools and the model index under mmc_plugin/.mim'
    user_options = []
    editable_mode = False

    def initialize_options(self):
        self.build_lib = None

    def finalize_options(self):
        self.set_undefined_options('build_py', ('build_lib', 'build_lib'))

    def run(self):
        if self.editable_mode:
            return
        shutil.rmtree(Path(self.build_lib, MIM_FOLDER), ignore_errors=True)
        for target, source in self.get_output_mapping().items():
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)

    def get_source_files(self):
        files = []
        for name in MIM_FILES:
            path = Path(name)
            found = path.rglob('*') if path.is_dir() else [path]
            files += [
                str(file)
                for file in sorted(found)
                if file.is_file() and '__pycache__' not in file.parts
            ]
        return files

    def get_outputs(self):
        return list(self.get_output_mapping())

    def get_output_mapping(self):
        if self.editable_mode:
            return {}
        folder = Path(self.build_lib, MIM_FOLDER)
        return {str(folder / source): source for source in self.get_source_files()}


class Build(build):
    sub_commands = [*build.sub_commands, ('build_mim', None)]


setup(cmdclass={'build': Build, 'build_mim': BuildMim})
