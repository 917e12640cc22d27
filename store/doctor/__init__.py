"""The doctor of disks, `store check --disk`: what a folder is, what works there, and what to do.

probes, neighbours       what is tried, in processes of their own; what other hosts have left there
examination, verdict     lets it be tried and waits; what the answers mean
"""
