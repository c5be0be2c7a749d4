# Prints the help of the Makefile, in 80 columns, from its comments:
#   ##@ topic  Heading         a topic begins
#   target: ## What it does    a target of the topic
#   #> target  What it does    the same, for targets that are made of names
#   #: NAME default  Meaning   a variable
#
# Variables: topic (empty: one screen of all), names=1 (only names of targets), topics=1 (only names of topics),
# taken (the variables of the topic), tasks.

# The text after a margin, folded between words; what follows the first line is indented.
function folded(margin, text, indent,    count, word, i, line, open) {
    count = split(text, word, " ")
    line = sprintf("%-" indent "s", margin)
    for (i = 1; i <= count; i++) {
        if (open && length(line) + 1 + length(word[i]) > 80) {
            print line
            line = sprintf("%" indent "s", "")
            open = 0
        }
        line = line (open ? " " : "") word[i]
        open = 1
    }
    print line
}

function after(count,    text, i) {
    text = $0
    for (i = 1; i <= count; i++) sub(/^[^ ]+ +/, "", text)
    return text
}

function add(name, text) {
    targets[now] = targets[now] " " name
    says[now, name] = text
}

function list_topic(name, make,    of_topic, count, i) {
    count = split(targets[name], of_topic, " ")
    for (i = 1; i <= count; i++) folded("  " make of_topic[i], says[name, of_topic[i]], 18 + length(make))
}

/^##@ / { now = $2; order[++many] = now; heading[now] = after(2) }
/^#> / { add($2, after(2)) }
/^[a-z-]+:.*## / { text = $0; sub(/^.*## /, "", text); add(substr($1, 1, index($1, ":") - 1), text) }
/^#: / { variable[++known] = $2; default_of[$2] = $3; meaning[$2] = after(3); if ($3 ~ /^\([^)]*$/) spaced($2) }

function spaced(name,    text) { # a default of several words in brackets
    text = meaning[name]
    default_of[name] = default_of[name] " " substr(text, 1, index(text, ")"))
    text = substr(text, index(text, ")") + 1)
    sub(/^ +/, "", text)
    meaning[name] = text
}

END {
    if (topics || names) {
        for (i = 1; i <= many; i++) if (topics) print order[i]; else if (order[i] == topic) print targets[topic]
        exit
    }
    if (topic == "") {
        print "xlprompt: train on English, score every language, see which method transfers\n"
        for (i = 1; i <= many; i++) {
            if (order[i] == "start") { list_topic("start", "make "); print "\nMore, by topic" }
            else folded("  make help-" order[i], heading[order[i]] ":" targets[order[i]], 23)
        }
        folded("  make help-variables", "Every variable: SCALE MODEL DATA LIMIT ...", 23)
        print ""
        folded("", "TASK is one of " tasks, 0)
        exit
    }
    if (topic == "variables") print "Variables and their defaults, as in: make xnli-prompt SCALE=gemma LIMIT=2000"
    else {
        print heading[topic]
        list_topic(topic, "")
        if (targets[topic] ~ / TASK-/) { print ""; folded("", "TASK is one of " tasks ", as in: make xnli-prompt", 0) }
        print ""
        folded("", "Variables: " taken " (make help-variables says what they mean)", 0)
        exit
    }
    for (i = 1; i <= known; i++) {
        name = variable[i]
        folded(sprintf("  %-10s %-11s", name, default_of[name]), meaning[name], 25)
    }
}
