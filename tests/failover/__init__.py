"""The daemon on a replica set of three real mongods, whose members are killed, stopped and cut off."""
