"""Drawings of single chapters, a module each: every figure is a function of the tables that are published with it.

A drawing over a dozen lines stands here, a shorter one in the notebook; what two chapters draw alike is in `marks`.
"""
