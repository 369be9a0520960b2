"""More ways to ask, for training only: templates with alternatives, "(a|b|c)" being one of them.

The held-out phrasings are the last fifth of each list in dialogues.py and workflows.py, and none
of them is made here.
"""

import re

FILE = (
    "(file|file|file|text file|document|script|note|config file|source file|plain"
    " file|page|README|module)"
)
NAMED = (
    "(named|called|with the name|under the name|at|at the path|with the path|titled|by the name"
    " of|with file name|as)"
)
MAKE = (
    "(Create|Create|Make|Write|Generate|Produce|Add|Save|Set"
    " up|Prepare|Build|Compose|Start|Author|Craft|Draft|Provide|Construct|Establish|Open|Begin|Spin"
    " up|Lay down|Put together|Make me|Write me|Write out|Emit|Drop|Form|Output)"
)
WRITE_HEAD = [
    MAKE + " (a|a|the|one|a new|a fresh|another|my) " + FILE + " " + NAMED + " {p}",
    MAKE + " {p}",
    MAKE + " {p} (as a new file|as a file|on disk|for me|in the project|here|now)",
    "(I need|I want|I would like|We need|I require|Let us have|Get me|Give me) (a|a new|one|the) "
    + FILE
    + " "
    + NAMED
    + " {p}",
    "(I need|I want|We need|There should be|There must be|I would like to have|Let me have) {p}",
    (
        "(The file|A file called|A file named) {p} (is missing, create it|does not exist yet, write"
        " it|has to be created|should exist|is needed|must be made)"
    ),
    "(Use the tool to|Use a tool to|Call the tool to) (create|write|make|save) {p}",
    "(Your task|The task|Task|Todo|Next step|Job)(: | is to )(create|write|make|save) {p}",
    "(Overwrite|Fill|Populate) {p}",
    "{p}: (create it|make this file|new file)",
    "(New file|File|Path|Filename): {p}\n",
    "(Touch|Initialise|Provide|Supply|Deliver) (the file |)(at |){p}",
    "(Create|Make|Write) (it|the file|this) as {p}",
]
WRITE_TAIL = [
    " (containing|holding|having|with|including|carrying|comprising|made of|featuring) {c}",
    (
        " (with|having) (the |this |its"
        " |)(content|contents|text|body|line|string|data|words|value) {c}"
    ),
    " that (contains|says|reads|has|holds|includes|consists of|carries|states) {c}",
    (
        " and (put|write|store|place|save|insert|add|enter|drop|type) (the text |the words |the"
        " line |){c} (in it|into it|inside|there)"
    ),
    (
        "(. Its|. The|, its|; the) (content|text|body|contents) (should be|is|must be|shall be|will"
        " be) {c}"
    ),
    "(, content|, text|, body| - content| - text|; content)(: | = | ){c}",
    " (so that it|which should|it should) (says|say|reads|contains|contain) {c}",
    " (whose|the) (content|body|only line) (is|should be) {c}",
    " with {c} (inside|in it|as text|as body)",
    "(. Put|. Write|. Store|, writing|, putting) {c} (in it|there|inside)",
    " for the text {c}",
    " from {c}",
]
WRITE_END = [
    (
        " (containing|holding|with|that says|saying|that reads|which contains) (exactly |just |only"
        " |)(the line|the text|this|this line|this text|the words|the following|the string)(:"
        " |:\n|:\n\n){t}"
    ),
    (
        "(, content|, text| - text| - content|; body| with content| with text|. Content|. Text|."
        " Body)(: |:\n){t}"
    ),
    (
        " and (write|put|enter|type|store) (this|the following|this line|this text) (in"
        " it|there|into it|inside|)(: |:\n){t}"
    ),
    (
        "(. It should say|. It must contain|. It has to read|. The text is|. Write this in it|. Use"
        " this text|. What it should hold|. Put this inside|. Its only line)(: |:\n){t}"
    ),
    " with (the text below|the content below|what follows|the line below)(.\n|:\n|.\n\n|:\n\n){t}",
    "(: |:\n){t}",
    " <- {t}",
    " = {t}",
]
WRITE_FRONT = [
    (
        "(Write|Save|Put|Store|Place|Record|Dump|Print|Drop|Add|Copy|Insert|Enter|Note|Log|Set|Output|Send|Deposit|Preserve|Capture|Hold|Leave|File|Persist|Stash|Jot"
        " down) (the text |the line |the words |the string |the content |this: |){c}"
        " (to|into|in|as|under|at|inside) (the file |a file named |a file called |a new file |the"
        " path |){p}"
    ),
    "{c} (goes|should go|belongs|must go|has to go) (into|in|to) (the file |){p}",
    "{c} (is to be|should be|must be) (saved|written|stored|put) (to|in|into|as) {p}",
    "(I want|I need|I would like) {c} (in|saved in|written to|stored in|inside) {p}",
    "{c} -> {p}",
    "(Make|Let) {p} (say|contain|hold|read|consist of|carry) {c}",
    "(Take|Use) {c} (as the content of|for) {p}",
    "(Fill|Populate) {p} with {c}",
]
BLOCK_END = [
    (
        "( with| holding| containing| having| including|, with) (this|the following|the|these)"
        " (content|text|code|lines|data|source|body|contents)(:\n\n|:\n)```{l}\n{b}\n```"
    ),
    (
        "( with| containing| holding|. Content|. Code|. Text|. Body|. Source|)(:\n\n|:\n)"
        "```{l}\n{b}\n```"
    ),
    (
        "( with the content| with the code| with the text| containing| with|. Content|. Code|. The"
        " text is|. It should hold|. Put this in it|. Write this|. The lines|)(:\n\n|:\n){b}"
    ),
    (
        "(. Use this|. Here is the content|. Here is the code|. It should contain|. The content"
        " is|. Paste this|. Copy this)(:\n\n|:\n)```{l}\n{b}\n```"
    ),
    "\n\n```{l}\n{b}\n```",
]
EDIT = [
    (
        "(Replace|Change|Swap|Exchange|Convert|Update|Switch|Transform|Rename|Alter|Modify|Correct)"
        " (the text |the string |the words |the value |){o} (to|with|by|for|into) {n} (in|inside|in"
        " the file|within) {p}"
    ),
    (
        "(In|Inside|Within|In the file|For|At) {p}(, |"
        " )(replace|change|swap|exchange|convert|update|switch|rename|alter|correct|turn) {o}"
        " (to|with|by|into|for) {n}"
    ),
    (
        "(Edit|Modify|Update|Patch|Change|Fix|Adjust|Correct|Revise|Amend) {p}(: |, | so that | -"
        " )(replace {o} with {n}|{o} becomes {n}|change {o} to {n}|{o} to {n}|swap {o} for {n}|{o}"
        " is now {n}|put {n} instead of {o}|use {n} instead of {o})"
    ),
    (
        "(The|Every|That|This) {o} (in|inside) {p} (should be|must be|ought to be|has to be|should"
        " become|must become|shall read) {n}"
    ),
    (
        "(Put|Write|Use|Insert|Place|Set) {n} (instead of|in place of|for|rather than|over) {o}"
        " (in|inside|within) {p}"
    ),
    (
        "(I want|I need|I would like) {o} (changed|replaced|turned|edited|converted)"
        " (to|into|by|with) {n} in {p}"
    ),
    (
        "{o} (in|of) {p} (becomes|is to become|should read|must say|needs to be|is wrong, it should"
        " be|is wrong, make it) {n}"
    ),
    "{p}: (replace {o} with {n}|change {o} to {n}|{o} -> {n}|{o} => {n}|s/{o}/{n}/)",
    (
        "(Where|Wherever) {p} (says|reads|has|contains) "
        "{o}(, it should say|, write|, put|, make it|, let it say) {n}"
    ),
    (
        "{p} (says|reads|contains|holds) {o}(, but it should be|, change it "
        "to|; replace it with|. Change that to|. Make that) {n}"
    ),
    "(Old|Before|From): {o}, (new|after|to): {n}, (file|in|path): {p}",
]
BASH = [
    (
        "(Run|Execute|Start|Launch|Invoke|Perform|Do|Issue|Call|Use|Try|Type|Enter|Fire|Process|Send|Evaluate)"
        " (the command |the shell command |this: |this command: |the command line |the program"
        " |bash command |){c}( in the shell| in the terminal| in bash| now| for me| on the system|"
        " on this machine| once| here|)"
    ),
    (
        "(In|Using|Use|With|On) (the shell|the terminal|bash|a terminal|a shell|the command"
        " line|the console|the prompt)(, | to )(run|execute|do|start|type|enter|launch) {c}"
    ),
    (
        "(I want|I need|I would like) (you to run|to run|you to execute|the command|to execute)"
        " {c}( run| executed|)"
    ),
    "(Shell|Command|Terminal|Bash|Console|Exec|Run)(: ){c}",
    "{c} (should be run|must be executed|has to run|- run this|- execute it)",
    (
        "(Can you run|Could you execute|Would you run|Go run|Go ahead and run|Let us run|We should"
        " run|It is time to run) {c}"
    ),
    "$ {c}",
    "{c}",
]
BASH_TELL = [
    (
        "( and|, then|; then| then) (tell me|show me|give me|report|print|say|send me|return|let me"
        " see|let me know|quote) (its output|the output|the result|what it prints|what it says|what"
        " it gives|what comes back|the answer|what you get|what you see)"
    ),
    (
        "(.|,) (What does it print?|What is the output?|What does it say?|What comes out?|What do"
        " you get?|What is the result?|Tell me the output.|Show me the output.|What did it"
        " print?|And the output?|I want to see the output.|What happens?)"
    ),
]
GLOB = [
    (
        "(Find|List|Show|Get|Locate|Search for|Look for|Look"
        " up|Collect|Enumerate|Fetch|Discover|Return|Identify|Seek|Print|Name|Give) (me |)(all"
        " |every |the |any |)(files|file names|paths|filenames|file|entries) (matching|that"
        " match|which match|like|named|named like|of the form|with the pattern|of the pattern|for"
        " the pattern|fitting|that look like|called|by the pattern|for|under the mask) {p}"
    ),
    (
        "(Which|What) (files|paths|file names|names|documents) (match|are like|have names like|are"
        " there for|are called|are named|satisfy|exist for|follow|correspond to|look like) {p}?"
    ),
    "(Are|Do) there (any |)(exist |)(files|paths) (matching|like|named|that match) {p}?",
    (
        "(Glob|Match|Search|Find|Scan for|Expand|Resolve|List|Locate|Enumerate) (the pattern |for"
        " |the mask |) {p}"
    ),
    (
        "(I need|I want|I would like|Show me|Give me) (the list of |all |every |the |a list of"
        " )(files|paths|names) (matching|like|for|that match) {p}"
    ),
    (
        "(Where are|Where do I find|Where can I find) (the |all |)(files |)(like |named |matching"
        " |){p}?"
    ),
    "(Pattern|Glob|Mask|Files): {p}",
    "(Use|Run) (the file search|the pattern search|a glob|the glob) (for|on|with) {p}",
    "(How many|Count the) files match {p}",
]
GREP = [
    (
        "(Search|Grep|Scan|Look|Hunt|Check|Comb|Browse|Query) (the code |the files |the sources"
        " |the project |the text |the repository |everything |the contents |all files |)for {r}"
    ),
    (
        "(Find|Show|List|Get|Locate|Print|Give me|Return|Collect) (me |)(all |every |the |each |any"
        " |)(lines|places|occurrences|uses|matches|mentions|hits|instances|spots|references|text"
        " lines) (of|matching|with|for|containing|that match|that mention|where we have) {r}"
    ),
    (
        "(Where|In which file|In which files|On which line|On which lines) (is|do we have|do we"
        " use|can I find|do I find|do you see) {r}(?| used?| defined?| mentioned?)"
    ),
    (
        "(Which|What) (files|file|lines|sources|line) (contain|contains|use|uses|have|has|"
        "hold|include|includes|match|refer to|talk about) {r}?"
    ),
    (
        "(Find|Locate|Seek|Track down|Search|Grep|Spot|Discover|Search out) {r}( in the "
        "files| in the code| in the project| in the sources| inside the files| anywhere|)"
    ),
    (
        "(I am looking for|I need|I want|I search) (the text |lines "
        "with |the string |the expression |){r}( in the files| in the code|)"
    ),
    (
        "(Does|Do) (any file|the code|the project|some file|the files) (contain|use|"
        "mention|have|include) {r}?"
    ),
    "(Regex|Search text|Expression|Search|Grep): {r}",
    "(Who|What) (uses|calls|mentions|defines) {r}?",
]
READ = [
    (
        "(Read|Open|Show|Display|Print|View|Load|Get|Fetch|Output|Give|Present|Inspect|Examine|Check|Dump|List|Type"
        " out|Reveal) (me |us |)(the file |the content of |the contents of |the text of |the whole"
        " |what is in |what is inside |the body of |the text in |){p}"
    ),
    (
        "(What is|What do you find|What do I have|What stands|What is stored|What text is|What is"
        " there|What did I put) (in|inside) (the file |){p}?"
    ),
    "(What|Which text) does (the file |){p} (contain|say|hold|have|include|look like)?",
    (
        "(I want|I need|I would like|Let me|I wish) (to see|to read|to "
        "view|to know what is in|to look at|to have|to look into) {p}"
    ),
    (
        "(Tell|Show) me (what|everything that|all that) (is in|stands in|the file "
        "has in|you find in|is inside) {p}"
    ),
    (
        "(Look|Have a look|Take a look|Peek|Go) (at|into|inside) {p}( and tell me what it says| and"
        " show me| and give me the text|)"
    ),
    "(cat|less|more|head|type) {p}",
    "{p}( please|: what does it say?|: show it|, show me that|?)",
    "(Can I see|May I see|Could I see|Can you show me) {p}?",
    "(Read out|Read aloud|Quote|Recite|Cite) {p}",
]
KEY = [
    (
        "(What is|What's|Tell me|Give me|Find|Look up|Get|Read|Show me|Report|Extract) (the value"
        " of |the setting |the entry |the |) {k} (in|from|of|inside|within|as set in|as given in)"
        " {p}(.|?|)"
    ),
    (
        "(What|Which) (value|setting|number|entry) (does|has|is given for|is stored under|stands"
        " for|belongs to) {k} (in|inside) {p}( have|)?"
    ),
    (
        "(Read|Open|Check|Look into|See|Inspect|Load) {p} (and tell me|and give me|and report|and"
        " find|for|to find|and say what is) (the value of |){k}."
    ),
    "(In|According to|From|As of|Going by) {p}, what (is|would be|value has|is the value of) {k}?",
    "(How|To what) is {k} (set|configured|defined) in {p}?",
    "{p}: (what is|value of|give me) {k}?",
    "(I need|I want|I must know) (the value of |the |){k} (from|in|out of) {p}.",
    "(Does|Has) {p} (have|define|set) {k}? (What is it?|Which value?|Tell me the value.)",
]


def expand(g, s):
    """One text of a template with alternatives; groups may not nest."""
    s = re.sub(r"\(([^()]*\|[^()]*)\)", lambda m: g.of(m[1].split("|")), s)
    return re.sub(" {2,}(?=[^\n])", " ", s)


COPY = [
    (
        "(Repeat|Copy|Echo|Say|Print|Write|Reproduce|Return|Output|Type|Recite|Mirror|Duplicate|Restate|Give"
        " back|Send back|State|Display|Answer with|Respond with|Reply with) (exactly |verbatim"
        " |literally |back |once more |)(this|the following|this text|this line|the next line|the"
        " text below|what follows|the words|the string)( exactly| verbatim| word for word|"
        " literally| unchanged| as it is| without changes|)(:|:\n|:\n\n|.\n) {t}"
    ),
    (
        "(Repeat|Copy|Echo|Say|Print|Write|Reproduce|Return|Output|Type|Recite|Answer|Respond|Reply)(:"
        " |:\n){t}"
    ),
    (
        "(Repeat|Copy|Echo|Say|Print|Write|Reproduce|Return|Output|Type|Recite|Restate|Answer"
        " with|Respond with|Reply with|Tell me) {q}( exactly| verbatim| word for word| and no more|"
        " only| as it is|, please| and stop| without a change|, nothing else|)(.|)"
    ),
    (
        "(Your answer|The answer|Your reply|The reply|Your response|Your output|Your message) (is"
        " to be|must be|should be|has to be|needs to be|is just|will be|ought to be) (exactly |just"
        " |only |)(the text |the line |)({q}.|{q}|this: {t}|the following: {t})"
    ),
    (
        "(I want you to|You must|You should|Please|Now|Just|Simply) (say|write|print|answer|reply"
        " with|repeat|copy|return|echo|type) {q}(.|)"
    ),
    (
        "(Say it|Repeat it|Write it|Echo it|Copy it) (after me|again|back to me|exactly|once)(:"
        " |:\n){t}"
    ),
    (
        "(Can you|Could you|Would you) (say|repeat|copy|write|echo|print|type|reproduce) {q}( for"
        " me| again| exactly| once|)?"
    ),
    "{q}: (repeat this|copy this|say this|write this back|echo it)(.|)",
    (
        "(Here is a text|Here is a line|This is a text|The line)(: |:\n){t}\n"
        "(Repeat it|Copy it|Write it again|Say it again|Return it unchanged|Echo it)(.|)"
    ),
    "(Do not use any tool. |Without tools: |No tools. |)(Reply with|Say|Write|Answer) {q}(.|)",
    (
        "{t}\n\n(Repeat that|Copy that|Say that|Write "
        "that again|Echo the line above|Repeat the line above|Copy the text above)(.|)"
    ),
]
PONG = [
    (
        "(Say|Write|Print|Output|Answer|Reply|Respond|Return|Type|Answer with|Reply with|Respond"
        " with) (just |only |simply |)(the word |the single word |the one word |){w}( and nothing"
        " else| and stop| only|, no more|, nothing more| without anything else|)(.| Do not use any"
        " tool.|)"
    ),
    (
        "(Your answer|The answer|Your response|Your output|The reply|All you say|Your only word)"
        " (is to be|must be|should be|has to be|needs to be|is|shall be) (just |only |exactly"
        " |)(the word |){w}(.|)"
    ),
    "(I want to hear|I want|Give me|Tell me|Let me hear) (just |only |)(the word |){w}(.|)",
    "(One word|Single word|Only|Exactly|Just)(: |, ){w}(.|)",
    (
        "(If you hear me|If you are there|If you can read this|When ready|To confirm|To check|To "
        "test), (say|reply with|answer with|write|answer|reply) {w}(.|)"
    ),
    "(Please|Now|Just) (say|answer|reply|respond with|write|print) {w}(.|)",
    "(Reply|Answer|Respond)(: | with | by saying | using only the word ){w}(.|)",
    "(Say|Write) {w}(!|, please.| now.| back.)",
]
REVERSE = [
    (
        "(Reverse|Flip|Invert|Mirror|Turn around|Turn) (this|the list|the order|the words|the"
        " sequence|the items|the order of|these|the row|these items|this row|the line|these"
        " words)(:|:\n) {t}"
    ),
    (
        "(Write|List|Give|Say|Print|Show|Return|Output|Put|Arrange|Sort|Name|Repeat|Read)"
        " (these|the words|the items|the list|this list|the following|these items|the"
        " elements|this) (in reverse|in reverse order|backwards|from the last to the first|from the"
        " end|last one first|from back to front|the other way round|in backward order|starting with"
        " the last)(:|:\n|.\n) {t}"
    ),
    "(Reverse|Invert|Flip) {t}",
    "{t} - (reverse this|now backwards|in reverse order|reverse the order|turn it around)(.|)",
    (
        "(What is|Give me|Show me|Tell me) (the reverse of|the reversed list of|the reverse order"
        " of|backwards): {t}"
    ),
    "(Backwards|Reversed|In reverse|Reverse order|Last to first): {t}",
    (
        "{t}\n(Reverse this list|Write it backwards|Reverse the order|Now the other way round|Give"
        " it in reverse order)(.|)"
    ),
    "(Can you|Could you) (reverse|flip|turn around) (this|the list|the order|the words): {t}",
    (
        "(Take|Use) (the list|the words|the items) {t} and (reverse "
        "them|turn them around|write them backwards|reverse the order)(.|)"
    ),
]
UPPER = [
    (
        "(Write|Print|Say|Put|Give|Return|Show|Repeat|Type|Output|Set|Spell) (this|the text|the"
        " following|the words|it|the line) (in upper case|in capitals|in capital letters|in"
        " uppercase|in all caps|with capital letters|all in capitals|in big letters)(:|:\n) {t}"
    ),
    (
        "(Convert|Change|Turn|Transform|Switch|Bring|Make|Raise) {q} (to|into) (upper"
        " case|uppercase|capitals|capital letters|all caps|big letters)(.|)"
    ),
    (
        "(Convert|Change|Turn|Transform|Switch|Raise) (this|the text|the words|the following|the"
        " line)( to| into) (upper case|uppercase|capitals|capital letters|all caps|big"
        " letters)(:|:\n) {t}"
    ),
    (
        "(Uppercase|Upper case|Capitalise|Capitalize|Upcase|In capitals|In caps|CAPS|In capital"
        " letters|In uppercase)(: |:\n){t}"
    ),
    "(Uppercase|Upper-case|Capitalise|Capitalize|Upcase) {q}(.|)",
    (
        "(Make|Have|Write|Print|Say) {q} (uppercase|in upper case|all "
        "caps|in capitals|in big letters|in uppercase)(.|)"
    ),
    (
        "(What is|What does|Give me|Show me) {q} (in capitals|in upper case|in uppercase|in capital"
        " letters)(?|)"
    ),
    "{t} (in capitals|in upper case|in uppercase|in capital letters|in caps)(, please.|.|)",
    (
        "(Every letter|All letters|Each letter) of {q} "
        "(should be|must be|shall become|is to be) (a capital|upper case|capital|big)(.|)"
    ),
    (
        "{t}\n(Write that in capitals|Now in upper case|Make it upper case|Capital letters,"
        " please)(.|)"
    ),
]
COUNT = [
    (
        "(How many|What number of|The number of) words (are|do you count|do you see|do I have|can"
        " you find|exist|stand|are there) (in|within|here in) {q}?"
    ),
    (
        "(Count|Number|Tell|Give me the count of|Find the number of|Report the number of|Determine"
        " the number of|Compute the number of) (the |all |)words (in|of|within) {q}(.|)"
    ),
    (
        "(Count the words|How many words|Number of words|Word count|Words|How many words is"
        " this|How many words are these|Count words)(:|:\n) {t}"
    ),
    "{q} (has|contains|consists of|is made of) how many words?",
    "(Of how many words does|How many words does) {q} (consist|have|contain|hold|include)( of|)?",
    (
        "{t}\n(How many words are that?|Count the words.|How many words?|Give the word count.|What"
        " is the number of words?)"
    ),
    (
        "(What is|Tell me|Give me|I need|Say|Find) (the number of words|the word count|how many"
        " words there are|the count of the words) (in|for|of) {q}(.|)"
    ),
    "(The text|The line|The phrase|The string) {q} - how many words?",
]
SUM = [
    (
        "(What is|What's|How much is|Calculate|Compute|Work out|Evaluate|Solve|Give me|Tell"
        " me|Find|Determine|Say|Figure out|Get|Do|Reckon) (the result of |the value of |the answer"
        " to |the answer of |){e}(.|?|)"
    ),
    "{e}( = ?| =|?|, what is it?| is how much?| equals what?| makes?| gives?|)",
    (
        "(What|How much) (do|does|would|will|is) {e} (give|make|come to|equal|result"
        " in|yield|amount to|be)?"
    ),
    "(I need|I want|Let me have|Let me know) (the result of |the value of |the answer to |){e}(.|)",
    "(Sum|Maths|Math|Quick sum|Arithmetic|Calculation|Question|Problem): {e}",
    "(Can|Could) you (calculate|compute|solve|work out|tell me|do) {e}?",
    "(The result of|The value of) {e} is (what|how much|which number)?",
]
PASSAGE = [
    (
        "(Read|Look at|See|Take|Consider|Here is|Here are|This is) (this|the|a)"
        " (text|passage|note|paragraph|facts|information|story|message)(:|:\n|:\n\n)"
        " {p}\n\n(Question: |Now answer: |Tell me: |Answer this: |){q}"
    ),
    (
        "(Text|Passage|Note|Facts|Context|Info|Document|Background)(:|:\n)"
        " {p}\n(Question|Q|Ask|Query)(:|:\n) {q}"
    ),
    "{q}\n(Text|Passage|Context|Note|Use this|Here is the text|Look here)(:|:\n) {p}",
    "{p}\n(Now: |So: |Tell me, |My question: |){q}",
    (
        "(From|Using|With|Based on|By|Going by) (this text|the text|this|this note|the facts|these"
        " facts)(:|:\n) {p}\n\n{q}"
    ),
    "{p} {q}",
    "{q} {p}",
]
READ_MANY_SUM = [
    (
        "(Read|Open|Load|Look into|Get|Check) {l}( in parallel| at once| at the same time|"
        " together| in one turn|)( and|, then|;) (add|sum|total|add up|sum up|give me the sum"
        " of|tell me the sum of) the( {w}|) numbers(.|)"
    ),
    (
        "(What is|Give me|Tell me|Compute|Find) the (sum|total) of the numbers in {l}(?|.)( Read"
        " them in parallel.| Use parallel calls.| Read all at once.|)"
    ),
    (
        "{l} (hold|contain|have) (a number each|one number each|numbers): (add them|what is the"
        " sum|sum them up|give the total)(.|)"
    ),
    "(Sum|Total|Add) the numbers (of|from|in) {l}(.|, all read at once.|, in parallel.|)",
]
READ_MANY = [
    (
        "(Read|Open|Show|Display|Print|View|Load|Get|Show me|Fetch|Give me|Look at) {l}( in"
        " parallel| at once| together| at the same time| both| in one go|)(.|)"
    ),
    "(What is|What do I find|What stands) in {l}?",
    "(What do|Tell me what) {l} (contain|say|hold)(?|.)",
    "(I want|I need) (to see|to read) {l}(.|)",
]
WRITE_MANY = [
    (
        "(Create|Make|Write|Save|Add|Generate|Produce|Set up|Prepare|I need|I want|Give me|Put"
        " down) (two files|both files|these files|these two files|the files|)(: | ){a} and {b}(.|)"
    ),
    "{a}, {b}: (create both|write both files|make these two|both in one turn)(.|)",
    (
        "(In parallel|At once|Together|In one "
        "turn|Both at the same time), (create|write|make|save) {a} and {b}(.|)"
    ),
    "(Create|Write|Make|Save) {a}(,|;) (and also|also|plus|as well as|and) {b}(.|)",
]
WRITE_RUN = [
    (
        "(Write|Save|Store|Create|Make|Add) {c} (to|as|in|into|at) {p}(, then| and| and then|;"
        " then|, and after that) (run it|execute it|start it|run it with python3|execute it with"
        " python3|run python3 on it|run the file with python3|launch it with python3)(.|)"
    ),
    (
        "(Create|Make|Write|Produce|Generate) {p} (with|containing|holding|from) {c}(, then| and|"
        " and then|, and) (run it|execute it|start it|run it with python3|try it with python3|see"
        " what it prints|execute the file)(.|)"
    ),
    (
        "(I need|I want) {p} (with|containing) {c}(, then run it| and have it run| and run with"
        " python3|, executed with python3)(.|)"
    ),
    (
        "(First|Step 1:|1.) (write|create) {p} with {c}(. Then| and then|. After that|. Step 2:|."
        " 2.) (run it with python3|run python3 on it|execute it)(.|)"
    ),
    (
        '(Make|Write) a (script|program|Python file) {p} that prints "{s}" and (run|execute|start)'
        " it(.| with python3.|)"
    ),
]
COPY_FILE = [
    (
        "(Copy|Duplicate|Replicate|Clone|Mirror|Reproduce|Transfer|Carry over) (the content of |the"
        " text of |the file |what is in |){a} (to|into|as|in|over to) (the file |a new file"
        " |){b}(.|)"
    ),
    (
        "(Read|Open|Load|Take) {a}(, then| and| and then|;) (write|save|store|put) (the same"
        " text|it|its content|the content|what you find|the text|everything) (to|into|as|in)"
        " {b}(.|)"
    ),
    (
        "(Make|Create|Write|Produce) {b} (a copy of|the same as|with the content of|identical"
        " to|from|out of|with the same text as) {a}(.|)"
    ),
    (
        "(I need|I want|There should be) (a copy of|a duplicate of|the content of|the text of) {a}"
        " (in|as|at|called|under) {b}(.|)"
    ),
    (
        "{b} (should|must|shall) (have|hold|get|contain|be) (the same text as|the content of|the"
        " same content as|a copy of) {a}(.|)"
    ),
    "{a} -> {b}: copy(.|)",
]
GLOB_READ = [
    (
        "(Find|Search|Locate|Look for|Look up|Search for|Glob) (the file |the only file |the one"
        " file |a file |)(matching|like|that matches|named|with the pattern|of the form|) {g}(,"
        " then| and| and then|;) (read it|show it|open it|print it|show me its content|tell me what"
        " it says|read the file|display it)(.|)"
    ),
    (
        "(Read|Open|Show|Show me|Print|Display) (the file|the one file|the single file|whatever"
        " file) (that matches|matching|like|you find with|found by|named like) {g}(.|)"
    ),
    "(What is in|What does) the file (matching|like|that matches|found by) {g}( say|)?",
    (
        "(There is|There must be|I have) (a|one|some|a single) file (like|matching|"
        "named like) {g}(. Read it.|. Show it.|. What is in it?|: read it.|, read it.)"
    ),
]
TWO_WRITES = [
    (
        "(First|1.|Begin:|To begin,|Start:|At first) (write|put|save|store|create) {a}"
        " (to|into|in|as) {p}(, then|. Then|. After that|. 2.|, and then|, afterwards|. Next)"
        " (write|put|save|store) {b} (to|into|in|as) {q}(.|)"
    ),
    (
        "(Write|Put|Save|Store) {a} (to|into|in|as) {p}(, then|. Then|. After that|, and after"
        " that|. When done,|. Once that is done,|, next) (write|put|save|store) {b} (to|into|in|as)"
        " {q}(.|, one after the other.|)"
    ),
    (
        "(Create|Make|Write) {p} with {a}(, then|. Then|. "
        "Afterwards|, and after that|. Only then) (create|make|write) {q} with {b}(.|)"
    ),
    (
        "(One by one|In this order|In sequence|Step by step|Not at once): {p} (with|gets|"
        "holding) {a}, {q} (with|gets|holding) {b}(.|)"
    ),
    (
        "(A|1|Step A|Stage 1|First)(: |) {p} (gets|holds|has|receives|is) {a}. (B|2|Step B|Stage"
        " 2|Second)(: |) {q} (gets|holds|has|receives|is) {b}(.|)"
    ),
]
FIX = [
    (
        "(In|Inside) {p}(, the| the) function {f} {did} (instead of|rather than|when it should be)"
        " {does}(. Fix it| . Please fix it|. Correct it|. Repair it|. Change that|. Make it right|;"
        " fix it)(.| with a small edit.| with a minimal change.|)"
    ),
    (
        "{f} (in|from|of) {p} (is wrong: it|is broken: it|has a bug: it|) {did} (instead of|rather"
        " than) {does}(. Fix it.|. Repair it.|. Correct that.|. Please fix.|.)"
    ),
    (
        "(Fix|Repair|Correct|Debug|Mend) (the function |the bug in |){f} (in|of|inside) {p}(: it|,"
        " it|, which|; it) {did} (instead of|rather than|but should be) {does}(.|)"
    ),
    (
        "(There is|We have|I found) (a bug|an error|a mistake|a fault) in {p}(: |, ){f} {did}"
        " (instead of|rather than) {does}(.|. Fix it.|. Please correct it.)"
    ),
    (
        "(My|The|Our) {f} (in|from) {p} {did}(, but|; it|, yet it) (should be|ought to be|must be)"
        " {does}(. Fix it.|.|. Can you fix it?)"
    ),
]
WORD = [
    "(What|Which) is the secret word (in|of|inside|hidden in|stored in|kept in) {p}?",
    (
        "(Find|Get|Look up|Read|Tell me|Give me|Extract|Report|Show) (me |)the secret word"
        " (in|from|of|inside|hidden in) {p}."
    ),
    (
        "(Read|Open|Check|Look into|Load) {p} (and|then|to) (tell me|give me|find|report|say|get)"
        " the secret word."
    ),
    "(There is|You find) a secret word in {p}(. What is it?|. Tell me.|, what is it?|. Which?)",
    (
        "(The file |){p} (has|contains|hides|keeps) (a|the) secret word(. What is it?|. Name it.|:"
        " tell me.|, which is it?)"
    ),
]
LINE = [
    (
        "(What is|Show me|Give me|Tell me|Print|Get|Read|Report|Return|Quote) the {w} line"
        " (of|in|from) {p}(.|)"
    ),
    (
        "(Read|Open|Check|Load) {p} (and|then) (tell me|give me|show me|print|"
        "quote|return) (the|its) {w} line(.|)"
    ),
    "(How does|What does) the {w} line (of|in) {p} (read|say)?",
    "(I need|I want) the {w} line of {p}(.|)",
]
EDIT_BLOCK = [
    (
        "(In|Inside|Within) {p}(, | )(replace|change|swap|exchange|substitute)(:|) (this|the"
        " text|the lines|the code|)\n```\n{o}\n```\n(with|by|for|to|against|into)("
        " this|)(:|)\n```\n{n}\n```"
    ),
    (
        "(Edit|Change|Modify|Update|Patch) {p}(. |: |:\n)(Old|Before|From|Find|Search)("
        " text|)(:|:\n)\n{o}\n(New|After|To|Replace|Instead)( text|)(:|:\n)\n{n}"
    ),
    (
        "(Replace|Change|Swap|Exchange|Substitute|Turn) (the text|this|the lines|this text|the"
        " line|)\n{o}\n(in|inside|within|of) {p} (with|by|into|to|for)\n{n}"
    ),
    (
        "(Replace|Change|Swap|Substitute) (this|the following|these lines) in"
        " {p}:\n\n```\n{o}\n```\n\n(with|to|by|for)( this| the following|):\n\n```\n{n}\n```"
    ),
    (
        "(In|At) {p} (it says|there is|you find|stands)\n```\n{o}\n```\n(but it should be|make"
        " that|change it to|replace it with)\n```\n{n}\n```"
    ),
]
KNOWS = [
    (
        "(Read|Open|Check|Look into|See|Use|Consult) {p}(: | and answer: | to answer: |. |, then"
        " tell me: |. Question: ){q}"
    ),
    "{q} (See|Read|Look into|Check|Use|It is in|The answer is in|Look in|Open) (the file |){p}.",
    "(According to|From|Using|By|Going by) {p}(: |, ){q}",
    "(The file |){p} (knows|tells|says|has the answer|answers)( this|)(: |. ){q}",
]
