"""Installs tfpose with its configs, data_prep, the two mains and the command `tfpose`."""

import pathlib

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent
VERSION = next(
    line.split('"')[1]
    for line in (ROOT / "tfpose" / "__init__.py").read_text().splitlines()
    if line.startswith("__version__")
)

setup(
    name="tfpose",
    version=VERSION,
    description="Multi-person pose estimation and tracking on TensorFlow 2 and Keras 3",
    long_description=(ROOT / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    packages=[*find_packages(include=["tfpose*", "data_prep*"]), "tfpose.configs"],
    # A folder of its own beside the programs, part of the package where it is installed.
    package_dir={"tfpose.configs": "configs"},
    package_data={
        "data_prep": ["*/README.md", "*/CITATIONS.bib"],
        "tfpose": ["py.typed"],
        "tfpose.report": ["page.*"],
    },
    py_modules=["train_main", "eval_main"],
    entry_points={"console_scripts": ["tfpose = tfpose.console:main"]},
    install_requires=[
        "tensorflow>=2.21,<2.22",
        "keras>=3.15,<3.16",
        "numpy>=2.0",
        "scipy>=1.13",
        "orjson>=3.11",
        "opencv-python-headless>=5.0",
        "pycocotools>=2.0.8",
        "absl-py>=2.1",
        "ml_collections>=1.0",
        "PyYAML>=6.0",
        "tensorflow-datasets>=4.9.8",
        "google-crc32c>=1.6",
        "tensorboard>=2.20",
        "tqdm>=4.66",
        "matplotlib>=3.10,<3.11",
        "jinja2>=3.1",
    ],
    extras_require={
        "gpu": ["tensorflow[and-cuda]>=2.21,<2.22"],
        "onnx": ["tf2onnx>=1.17", "onnx>=1.18", "onnxruntime>=1.22"],
        "video": ["av>=16"],
        "keras_hub": ["keras-hub>=0.32,<0.33"],
        "beam": ["apache-beam>=2.69"],
        "docs": ["mkdocs>=1.6,<2", "mkdocs-material>=9.7,<10", "mkdocstrings[python]>=1.0,<2", "ruff>=0.9"],
        "test": [
            "av>=16",
            "pytest>=8",
            "pytest-xdist>=3.6",
            "pytest-timeout>=2.3",
            "hypothesis>=6.100",
            "mypy>=2.4",
            "ruff>=0.9",
            "setuptools>=70.1",
        ],
    },
)
