"""How a module of cases lists them."""


def table():
    """An empty list of cases, and the decorator that adds to it."""
    cases = {}

    def case(shape, image=None, image_out=None):
        """Input of this shape without samples; `image_out` where the result has channels before its positions."""
        inside = len(shape) >= 3 if image is None else image
        outside = inside if image_out is None else image_out

        def add(function):
            cases[function.__name__] = (function, shape, inside, outside)
            return function

        return add

    return cases, case
