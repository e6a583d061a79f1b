"""All of the fidelity script, as it is drawn; run as a module it writes the script anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.contract import fidelity_cluster_script, fidelity_store_script
from tests.contract.fidelity import SCRIPT, Operation, Port, text


def drawn() -> Mapping[Port, Sequence[Operation]]:
    """The operations by port."""
    return {
        "store": fidelity_store_script.Drawer(fidelity_store_script.SEED).draw(),
        "cluster": fidelity_cluster_script.Drawer(fidelity_cluster_script.SEED).draw(),
    }


if __name__ == "__main__":
    SCRIPT.write_text(text(drawn()), encoding="utf-8")
