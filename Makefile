# The front door of xlprompt: `make` lists what there is. A target that needs the environment makes it first.

# Variables, on the command line or exported; one given empty counts as not given. `make help-variables` prints these
# lines, and `make help-studies`, say, the names of those that its targets take.
#: SCALE   mini        mini: bundled model and data, minutes; gemma: Gemma 3 270M on DATA; paper: XGLM-564M on the hub
#: MODEL   (recipe)    xglm-nano, gemma-3-270m, smollm2-135m, facebook/xglm-564M, any hub id, or a folder in transformers' format
#: DATA    (recipe)    mini, hub, or a folder with the official files, JSON Lines or a task of your own (make data-check)
#: TRAIN_LANG (en)     language that is trained on and chooses the checkpoint, such as TRAIN_LANG=de
#: SEED    (recipe)    seed of initialization and batch order
#: SEEDS   (grid)      of make all-tasks: how many seeds (3 is 0, 1 and 2), or a list such as SEEDS=0,4
#: TASK    (none)      of make search: xnli, pawsx, ner, pos, sib200, xcopa, xquad; or own, the task that DATA is
#: METHOD  prompt      of make train: a method; of make search: prompt or finetune
#: TRIALS  (by scale)  of make search: trials in all, those of earlier calls included
#: DATABASE (store)    of make search: URL of an Optuna database that several machines share
#: TASKS   (grid)      of make all-tasks, make align: such as xnli,sib200; of make all-tasks also all, or own (the task that DATA is)
#: METHODS (grid)      of make all-tasks, make align: some of prompt,finetune,head,lora,ia3,adapter,bitfit,zeroshot
#: WORKERS (by cores)  of make all-tasks: runs at a time; of make align (1) and make search (1) likewise
#: NAME    (none)      of make ablation: a file of experiments/ablations, such as scheme
#: RUNS    (none)      of make report, publish, analyze: a file of published runs, taken in beside the store's
#: EXECUTOR local      of make all-tasks: local, slurm, or ray (ARGS="--address auto" joins a running cluster)
#: SLURM   (grid)      with EXECUTOR=slurm: what a cell asks for, as in SLURM=partition=gpu,minutes=240,gpus=1
#: LIMIT   (all)       use at most this many examples of each split and language
#: BALANCED (no)       of make nano: 1 builds xglm-nano-balanced, with equal language shares
#: SIZE    (4m)        of make nano: 0.5m, 1m, 2m or 8m (million parameters) builds xglm-nano-SIZE; 4m is xglm-nano
#: RESUME  (no)        1 goes on with the newest interrupted run of the recipe, where there is one
#: ENGINE  (by method) torch or deepspeed; without it full fine-tuning uses DeepSpeed and all else torch
#: ZERO    1           of full fine-tuning: 0, 1, 2, 3, 2-offload or 3-offload, a file of experiments/deepspeed
#: GPUS    (one)       processes that share the run, one for each GPU, or on a CPU for a share of the cores
#: LAUNCHER deepspeed  what starts these processes: deepspeed or torchrun
#: HOSTFILE (none)     with the launcher deepspeed: machines to run on, as in node1 slots=8
#: RECIPE  (by scale)  recipes instead of experiments/SCALE/TASK-METHOD.yaml, as in RECIPE=mine.yaml,more.yaml
#: ARGS    (none)      more arguments for the command behind the target, such as ARGS="--steps 400"
#: PORT    (free)      port of make ui
#: PYTHON  python3     the Python (3.11 or newer) that .venv is made with

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

quote = '$(subst ','\'',$(1))'
# $(call option,--model,$(MODEL)): the option with its quoted value, or nothing when the value is blank.
option = $(if $(strip $(2)),$(1) $(call quote,$(2)))
# $(call on,$(RESUME)): nothing where a switch is off.
on = $(filter-out 0 no false,$(strip $(1)))

scale = $(or $(strip $(SCALE)),mini)
python = $(call quote,$(if $(strip $(PYTHON)),$(PYTHON),python3))
bin := .venv/bin
# The stamp is written last, so an interrupted set-up leaves none and is begun anew.
ready := .venv/.ready
packages := data models evaluation training studies cli

comma := ,
recipe = $(subst $(comma),' ',$(call quote,$(if $(strip $(RECIPE)),$(RECIPE),experiments/$(scale)/$(1).yaml)))
train = $(strip $(bin)/xlprompt train $(call recipe,$(1)) $(call option,--model,$(MODEL)) \
    $(call option,--data,$(DATA)) $(call option,--seed,$(SEED)) $(call option,--limit,$(LIMIT)) \
    $(call option,--train-language,$(TRAIN_LANG)) $(if $(call on,$(RESUME)),--resume) \
    $(call option,--engine,$(ENGINE)) \
    $(call option,--deepspeed,$(if $(strip $(ZERO)),experiments/deepspeed/zero$(strip $(ZERO)).json)) \
    $(if $(strip $(GPUS)$(HOSTFILE)$(LAUNCHER)),--launcher $(call quote,$(or $(strip $(LAUNCHER)),deepspeed))) \
    $(call option,--num-gpus,$(GPUS)) $(call option,--hostfile,$(HOSTFILE)) $(ARGS))

study = $(strip $(bin)/xlprompt study $(call quote,experiments/$(scale)/study.yaml) \
    $(call option,--tasks,$(TASKS)) $(call option,--methods,$(METHODS)) $(call option,--seeds,$(SEEDS)) \
    $(call option,--model,$(MODEL)) $(call option,--data,$(DATA)) $(call option,--limit,$(LIMIT)) \
    $(call option,--train-language,$(TRAIN_LANG)) $(call option,--executor,$(EXECUTOR)) \
    $(call option,--slurm,$(SLURM)) $(call option,--workers,$(WORKERS)) $(call option,--engine,$(ENGINE)) $(ARGS))

search = $(strip $(bin)/xlprompt search $(call quote,experiments/$(scale)/search.yaml) \
    $(call option,--task,$(TASK)) $(call option,--method,$(METHOD)) $(call option,--trials,$(TRIALS)) \
    $(call option,--model,$(MODEL)) $(call option,--data,$(DATA)) $(call option,--limit,$(LIMIT)) \
    $(call option,--train-language,$(TRAIN_LANG)) $(call option,--seed,$(SEED)) \
    $(call option,--workers,$(WORKERS)) $(call option,--database,$(DATABASE)) $(ARGS))

ablation = $(call quote,experiments/ablations/$(strip $(NAME)).yaml) --recipe '../$(scale)/{task}-{method}.yaml' \
    $(call option,--tasks,$(TASKS)) $(call option,--methods,$(METHODS)) $(call option,--seeds,$(SEEDS)) \
    $(call option,--model,$(MODEL)) $(call option,--data,$(DATA)) $(call option,--limit,$(LIMIT)) \
    $(call option,--train-language,$(TRAIN_LANG))

# How a study runs is nothing to the analysis after it. Of what a study takes, that of sizes has the store alone.
not-how = $(shell printf '%s\n' $(call quote,$(ARGS)) | sed -E \
    -e 's/(^| )--(threads|gpus|address|executor|slurm|workers|engine)[ =][^ ]+/ /g' -e ':a; s/(^| )--(force|json)( |$$)/ /; ta')
its-store = $(shell printf '%s\n' $(call quote,$(ARGS)) | grep -oE -- '--mlruns[ =][^ ]+')

nano = $(if $(call on,$(BALANCED)),-balanced)$(addprefix -,$(filter-out 4m,$(strip $(SIZE))))

site = $(bin)/python -m sphinx --builder html --nitpicky --fail-on-warning --keep-going --quiet docs build/site

tasks := xnli pawsx ner pos sib200 xcopa xquad
methods := prompt finetune head lora ia3 adapter bitfit zeroshot
runs := $(foreach method,$(methods),$(addsuffix -$(method),$(tasks)))

# What each target takes. What else the command line gives would be passed over, and is refused; what is exported is
# not, since it may be another program's.
of_recipes := MODEL DATA LIMIT TRAIN_LANG ARGS
takes.TASK-METHOD := SCALE RECIPE SEED RESUME ENGINE ZERO GPUS LAUNCHER HOSTFILE $(of_recipes)
takes.train := METHOD $(takes.TASK-METHOD)
takes.all-tasks := SCALE TASKS METHODS SEEDS EXECUTOR SLURM WORKERS ENGINE $(of_recipes)
takes.ablation := NAME $(takes.all-tasks)
takes.search := SCALE TASK METHOD TRIALS SEED WORKERS DATABASE $(of_recipes)
takes.report := MODEL TRAIN_LANG RUNS ARGS
takes.publish := SCALE MODEL TRAIN_LANG RUNS ARGS
takes.analyze := MODEL DATA LIMIT RUNS ARGS
takes.granularity := SCALE MODEL DATA TASKS LIMIT ARGS
takes.align := MODEL DATA TASKS METHODS SEEDS LIMIT WORKERS ARGS
takes.nano := BALANCED SIZE ARGS
takes.ui := PORT ARGS
takes.params := MODEL ARGS
takes.data-check := DATA ARGS
$(foreach target,doctor docs screenshots test test-slow bench bench-methods,$(eval takes.$(target) := ARGS))

helps := $(addprefix help-,$(filter-out start,$(shell awk -v topics=1 -f .ci/help.awk Makefile)) variables)
targets := help $(helps) setup $(runs) train all-tasks ablation search report publish analyze granularity align nano ui \
    params data-check doctor docs screenshots test test-slow lint format bench bench-methods lock clean

goals := $(or $(MAKECMDGOALS),help)
variables := $(sort PYTHON $(foreach v,$(filter takes.%,$(.VARIABLES)),$($v)))
taken := $(sort PYTHON $(foreach goal,$(goals),$(takes.$(if $(filter $(goal),$(runs)),TASK-METHOD,$(goal)))))
given := $(sort $(foreach v,$(.VARIABLES),$(if $(filter command,$(origin $v)),$(if $(strip $(value $v)),$v))))
unused := $(filter-out $(taken) SHELL MAKE% MFLAGS GNUMAKEFLAGS .%,$(given))
near = $(addprefix Did you mean ,$(addsuffix ?,$(shell $(python) -c 'import difflib, sys; \
    word = sys.argv[1].upper() if sys.argv[2].isupper() else sys.argv[1]; \
    print(*difflib.get_close_matches(word, sys.argv[2:], 1))' $(call quote,$(1)) $(2) 2>/dev/null)))
lost := $(filter-out $(targets) $(ready),$(goals))
unknown := $(filter-out $(variables),$(unused))
# Lines of 80 columns, which make would not fold.
define line


endef
$(if $(lost),$(error $(foreach v,$(lost),$(line)There is no target $v. $(call near,$v,$(targets)))$(line)See: make help))
$(if $(unknown),$(error $(foreach v,$(unknown),$(line)There is no variable $v. $(call near,$v,$(variables)))$(line)See: make \
    help-variables))
in_dry_run := $(findstring n,$(firstword -$(MAKEFLAGS)))
it_takes = It takes $(wordlist 1,8,$(taken))$(if $(word 9,$(taken)),$(line)$(wordlist 9,18,$(taken)))
$(if $(unused),$(if $(in_dry_run),$(warning make $(goals) takes no $(unused)),$(error $(line)make $(goals) takes \
    no $(unused). $(line)$(it_takes))))
$(if $(and $(filter RECIPE,$(given)),$(filter SCALE,$(given))),$(error SCALE chooses among the recipes of \
    experiments/, and RECIPE names one. Leave one of them out))
$(if $(call on,$(BALANCED)),$(if $(filter SIZE,$(given)),$(error The control has one size. Leave out BALANCED or SIZE)))

# `make help` is one screen: a line for each topic. The topics begin at the lines with ##@, and end at the next one.
help = @awk -v tasks='$(tasks)' -v topic='$(1)' -v taken='$(2)' -f .ci/help.awk Makefile
taken_by = $(foreach target,$(shell awk -v topic='$(1)' -v names=1 -f .ci/help.awk Makefile),$(takes.$(target)))

.PHONY: $(targets)

##@ start What to type first
#> xnli-prompt   Train on English, score 20 languages: a minute or two
#> all-tasks     Compare methods by task and seed; goes on where stopped
#> report        What the runs came to: answer, tables, figures, claims
#> ui            The runs in MLflow's pages, on this machine
#> doctor        What this machine can do, and what is missing
help:
	$(call help,)

$(helps): help-%:
	$(call help,$*,$(sort $(call taken_by,$*)))

##@ runs One run
# Each task by each method. `make help-runs` has a line for each method.
#> TASK-prompt    Tune prompts in every layer on English, score every language
#> TASK-finetune  Fine-tune every weight
#> TASK-head      Train nothing but the head on the frozen model
#> TASK-lora      Train low-rank updates of its queries and values
#> TASK-ia3       Train scales of its keys, values and feed-forward states
#> TASK-adapter   Train a small network behind each feed-forward
#> TASK-bitfit    Train its bias terms
#> TASK-zeroshot  Train nothing: ask the model in words (xnli, pawsx, xcopa)
$(runs): $(ready)
	@$(call train,$@)

train: $(ready) ## Train on a task of your own and score its languages; DATA=<folder> METHOD=prompt SCALE=gemma
	@test -n $(call quote,$(strip $(DATA)$(RECIPE))) || { echo "Name the folder of your task: make train DATA=../topics" >&2; \
	    echo "This writes one: $(bin)/xlprompt data new ../topics" >&2; exit 1; }
	@$(call train,own-$(or $(strip $(METHOD)),prompt))

##@ studies Many runs, and what they say
all-tasks: $(ready) ## Run every task, method and seed that has not been run, and sum up; SEEDS=3
	@$(call study)

ablation: $(ready) ## Run the variants of experiments/ablations/NAME.yaml and compare them; NAME=scheme
	@test -f $(call quote,experiments/ablations/$(strip $(NAME)).yaml) || { \
	    echo "Name an ablation that is there: make ablation NAME=scheme. There are" \
	    $(notdir $(basename $(wildcard experiments/ablations/*.yaml))) | fold -s -w 80 >&2; exit 1; }
	@$(strip $(bin)/xlprompt study $(ablation) $(call option,--executor,$(EXECUTOR)) $(call option,--slurm,$(SLURM)) \
	    $(call option,--workers,$(WORKERS)) $(call option,--engine,$(ENGINE)) \
	    $(if $(filter-out mini,$(scale)),--gpus any) $(ARGS))
	@test -n "$(findstring --dry-run,$(ARGS))$$(grep -Ls '^variants:' \
	    $(call quote,experiments/ablations/$(strip $(NAME)).yaml) || true)" || \
	    $(strip $(bin)/xlprompt analyze $(if $(filter size,$(NAME)),size $(its-store),ablation $(ablation) $(not-how)))

search: $(ready) ## Search learning rate, batch size and prompt length for TASK; METHOD=finetune TRIALS=12
	@test -n $(call quote,$(strip $(TASK))) || { echo "Name the task: make search TASK=xnli" >&2; exit 1; }
	@$(call search)

report: $(ready) ## Write the study's report: tables, figures, claims
	@$(strip $(bin)/xlprompt report $(call option,--model,$(MODEL)) $(call option,--train-language,$(TRAIN_LANG)) \
	    $(call option,--runs,$(RUNS)) $(ARGS))

publish: $(ready) ## Put the study's tables, figures and runs into docs/results and experiments/results/SCALE
	@$(strip $(bin)/xlprompt publish $(call quote,experiments/results/$(scale)) $(call option,--model,$(MODEL)) \
	    $(call option,--train-language,$(TRAIN_LANG)) $(call option,--runs,$(RUNS)) $(ARGS))
	@$(bin)/python docs/overview.py

##@ analyses Why it transfers
analyze: $(ready) ## Say how finely MODEL's tokenizer cuts each language of DATA; ARGS="--task xnli"
	@$(strip $(bin)/xlprompt analyze tokenization $(call option,--model,$(MODEL)) $(call option,--data,$(DATA)) \
	    $(call option,--limit,$(LIMIT)) $(call option,--runs,$(RUNS)) $(ARGS))

granularity: $(ready) ## Score a study's models on text that is cut ever more finely
	@$(strip $(bin)/xlprompt analyze granularity $(call quote,experiments/granularity/$(scale).yaml) \
	    $(call option,--model,$(MODEL)) $(call option,--data,$(DATA)) $(call option,--tasks,$(TASKS)) $(call option,--limit,$(LIMIT)) $(ARGS))

align: $(ready) ## Score a study's models with languages aligned by unlabelled sentences, 5 to 200 of them
	@$(strip $(bin)/xlprompt analyze alignment --sweep $(call option,--model,$(MODEL)) $(call option,--data,$(DATA)) \
	    $(call option,--tasks,$(TASKS)) $(call option,--methods,$(METHODS)) $(call option,--seeds,$(SEEDS)) $(call option,--limit,$(LIMIT)) \
	    $(call option,--workers,$(WORKERS)) $(ARGS))

##@ look Runs, models, data, machine
nano: $(ready) ## Pretrain xglm-nano anew from text of the mini world, or go on with it; BALANCED=1 for its control, SIZE=1m
	@$(strip $(bin)/xlprompt pretrain experiments/nano/xglm-nano$(nano).yaml $(ARGS))

ui: $(ready) ## Open the MLflow UI on the runs in mlruns/
	@$(strip $(bin)/xlprompt ui $(call option,--port,$(PORT)) $(ARGS))

params: $(ready) ## Count what trains in MODEL and the memory it takes, no weights needed; ARGS="--processes 1,8"
	@$(strip $(bin)/xlprompt params $(call option,--model,$(MODEL)) $(ARGS))

data-check: $(ready) ## Say what the folder DATA holds and what is wrong with it
	@test -n $(call quote,$(strip $(DATA))) || { echo "Name the folder to check: make data-check DATA=../data" >&2; exit 1; }
	@$(strip $(bin)/xlprompt data check $(call quote,$(DATA)) $(ARGS))

doctor: $(ready) ## Check this machine, the environment, the caches and the MLflow store
	@$(strip $(bin)/xlprompt doctor $(ARGS))

##@ develop Work on xlprompt
setup: $(ready) ## Make .venv from requirements.lock (every target below that needs it does so by itself)

$(ready): requirements.lock $(foreach p,$(packages),packages/$(p)/pyproject.toml)
	@command -v $(python) >/dev/null || { echo "There is no "$(python)" here. Install Python 3.11 or newer," \
	    "or name the one to use: make setup PYTHON=python3.11" >&2; exit 1; }
	@$(python) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo $(python)" is older than Python 3.11." \
	    "Install a newer one and name it: make setup PYTHON=python3.11" >&2; exit 1; }
	@$(python) -c 'import ensurepip, venv' 2>/dev/null || { echo $(python)" cannot make virtual environments." \
	    "Install its venv package (Debian and Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
	@echo "Setting up .venv from requirements.lock (once; a few minutes)"
	@test -e $@ || $(python) -m venv --clear .venv
	@rm -f $@
	@$(bin)/python -m pip install --quiet --no-compile --disable-pip-version-check --requirement requirements.lock
	@$(bin)/python -m compileall -qq -j 0 .venv/lib || true # pip would do it on one core; some files are no Python
	@$(bin)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	    $(foreach p,$(packages),--editable packages/$(p))
	@touch $@

docs: $(ready) ## Build the site of docs/ into build/site; a warning is an error
	@$(site) $(ARGS)
	@echo "build/site/index.html"

screenshots: $(ready) ## Make the documents' pictures anew; ARGS=report: one kind
	@$(bin)/python docs/screenshots.py $(ARGS)

test: $(ready) ## Run the unit and integration tests, in up to four processes; ARGS="-k word" picks some
	@OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(bin)/python -m pytest --numprocesses auto --maxprocesses 4 \
	    --dist loadfile --no-loadscope-reorder $(ARGS)

test-slow: $(ready) ## Run the slow tests (minutes)
	@$(bin)/python -m pytest -m slow $(ARGS)

lint: $(ready) ## Check style, types, the import direction and the site (ruff, mypy, import-linter, Sphinx)
	@$(bin)/ruff check
	@$(bin)/ruff format --check
	@$(bin)/mypy & types=$$!; $(bin)/lint-imports --no-logo && $(site); rest=$$?; wait $$types && exit $$rest

format: $(ready) ## Format the code and fix what ruff can fix
	@$(bin)/ruff format
	@$(bin)/ruff check --fix

bench: $(ready) ## Measure training, scoring and studies against PEFT and transformers; ARGS="--only scoring"
	@$(strip $(bin)/python experiments/bench/bench.py $(ARGS))

bench-methods: $(ready) ## Measure every method against full fine-tuning: step time, peak memory, checkpoint bytes
	@$(strip $(bin)/python experiments/bench/methods.py $(ARGS))

lock: ## Renew requirements.lock from the pyproject.tomls, in a throw-away environment
	@PYTHON=$(python) .ci/lock

clean: ## Delete caches and build products (not .venv, not mlruns/)
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache build dist packages/*/build packages/*/dist
	@find packages tests experiments -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
