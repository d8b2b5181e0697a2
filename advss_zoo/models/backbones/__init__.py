"""The families of backbones: one file each, with the record that config.json and recipes hold. No library is imported
before a network is built.
"""
