"""What a crash handler that shows every local of ours would print."""

import traceback


def everything(error: BaseException) -> str:
    """The texts of an error and of those behind it, with the locals of every frame below keyswap."""
    shown = [repr(error), str(error)]
    behind = traceback.TracebackException.from_exception(error, capture_locals=True)
    while behind is not None:
        shown.extend(str(frame.locals) for frame in behind.stack if "/keyswap/" in frame.filename)
        shown.append(str(behind))
        behind = behind.__cause__ or behind.__context__  # type: ignore[assignment]
    return "\n".join(shown)
