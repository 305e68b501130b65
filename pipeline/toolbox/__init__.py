"""Tools for `.net` files, none of which needs Lava: inspect, diff, verify, convert."""
