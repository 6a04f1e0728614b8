"""``tollgate doctor``: does the platform keep its objectives, and is what it stands on as it must be?

It looks and changes nothing. ``objectives`` says what is promised, ``window`` and ``prometheus`` measure, ``judging``
decides, ``checks`` look at everything that no metric tells, ``report`` is the shape of what comes out.
"""
