"""The door: `mitmdump -s addons/swap.py --set keyswap_policy=policy/demo.yaml`."""

from keyswap.addons.door import Door

addons = [Door()]
