"""Processes that decode and transform images for threads, where threads alone stop scaling.

Of about 1.8 ms that a thread takes for an image of 500 x 375 pixels, it holds the interpreter's
lock for about 0.25 ms. So from six or seven threads on each additional one waits for the others,
and the training loop waits, too. With a process at its side a thread only passes the file on.

They change nothing but the time. Whatever a process cannot do in silence (an image that is broken
or large, or whose EXIF block is damaged; a transform that cannot be sent) the thread does itself,
with the errors and messages of that.
"""
