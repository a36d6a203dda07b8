"""The neutral interfaces: what a backend implements, one noun a file.

Nothing here, or anywhere in ``isotune``, imports a framework. ``Model`` stands for the
framework's own type (an ``nn.Module``, an ``nn.Cell``) and is only ever handed back to the
backend that built it.
"""
