"""Shared mode: what hosts that write to one disk do beside what a store on one host does.

network_journal, spills, carry   a writer's journal on a disk that may lose it, or outside of it
snapshots, publish               what is known of a run, in numbered files that never change
live, share                      who writes just now, and what a writer's thread does for others
adopt, modes                     after a host that does not come back; changing a store's mode
"""
