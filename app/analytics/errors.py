"""The errors of the figures. Each docstring is the detail that the user reads."""

from app.core.errors import Unprocessable


class HoursNotKept(Unprocessable):
    """Figures by hour are kept for 35 days. Set `range` to 30d or less, or `by` to day."""

    code = "hours_not_kept"
    title = "Hours not kept"


class UsersNeedAllScope(Unprocessable):
    """Figures by user cover the jobs of all users. Set `scope` to all."""

    code = "users_need_all_scope"
    title = "Figures by user need scope=all"
