"""Tests, in folders like those of the packages that they are about."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]  # of the repository
