from .answers.inference import Predictions as Predictions
from .answers.inference import predict as predict
from .answers.predictions import (
    SavedPredictions as SavedPredictions,
)
from .answers.predictions import (
    load_predictions as load_predictions,
)
from .answers.predictions import (
    save_predictions as save_predictions,
)
from .comparison.compare import compare as compare
from .comparison.compared import Comparison as Comparison
from .comparison.counts import TaskRuns as TaskRuns
from .comparison.counts import load_runs as load_runs
from .comparison.verdicts import Verdict as Verdict
from .comparison.verdicts import judge as judge
from .scores.alignment_table import sweep_figure as sweep_figure
from .scores.alignment_table import sweep_table as sweep_table
from .scores.chart import bar_chart as bar_chart
from .scores.metrics import (
    LabelShares as LabelShares,
)
from .scores.metrics import (
    Score as Score,
)
from .scores.metrics import (
    label_shares as label_shares,
)
from .scores.metrics import (
    main_metric as main_metric,
)
from .scores.metrics import (
    score as score,
)
from .scores.table import score_table as score_table
from .scores.transfer_scores import (
    LanguageResult as LanguageResult,
)
from .scores.transfer_scores import (
    TransferReport as TransferReport,
)
from .scores.transfer_scores import (
    language_result as language_result,
)
