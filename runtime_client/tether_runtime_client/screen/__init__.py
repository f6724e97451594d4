"""What a command's terminal shows, as text: drawn from its byte log, and only when asked for.

Nothing here is on the way of a command's output. `view` draws, `keyboard` knows what a program
asked of the keyboard; the emulator and the library below it are imported at the first drawing.
"""
