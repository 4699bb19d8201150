"""How fast, small and light tinygrad_bp is beside its peers: `python -m benchmarks`.

Read `README.md` for how things are measured; then `__main__.py`, `suites/train_step.py` and `peers/torch.py`.
"""
