from .errors import StudyError as StudyError
from .grid.study import StudyResult as StudyResult
from .grid.study import run_study as run_study
from .search.search import SearchResult as SearchResult
from .search.search import run_search as run_search
from .search.space import SearchError as SearchError
