"""Tools for the generated dialogues: what a tool does, and endless ways to name and describe it."""

import json
import os

# argument kind -> (names, descriptions, JSON type)
ARGS = {
    "path": (
        "path file filename file_path filePath filepath target dest location file_name target_file"
        " fname doc output destination pathname resource file_uri where".split(),
        [
            "Path of the file",
            "The file to work on",
            "File path",
            "Where the file is",
            "The absolute path to the file",
            "Name of the file",
            "Relative or absolute file path",
            "Location on disk",
        ],
        "string",
    ),
    "content": (
        "content contents text data body file_content fileContent payload source new_content value"
        " txt full_text string code".split(),
        [
            "The text to write",
            "Content of the file",
            "What to put into the file",
            "Full file content",
            "The data to store",
            "Text that the file shall hold",
        ],
        "string",
    ),
    "old": (
        "old old_string oldString search find before old_text from match original needle old_str".split(),
        ["The text to replace", "Text to look for", "Exact text that is replaced", "The old text"],
        "string",
    ),
    "new": (
        "new new_string newString replace replacement after new_text to_text with substitute"
        " new_str".split(),
        [
            "The text that takes its place",
            "Replacement text",
            "The new text",
            "What to put instead",
        ],
        "string",
    ),
    "command": (
        "command cmd script shell_command commandLine line exec input run instruction".split(),
        ["The command to run", "Shell command", "The command line to execute", "What to execute"],
        "string",
    ),
    "pattern": (
        "pattern glob mask globPattern file_pattern wildcard expr filter".split(),
        [
            "Glob pattern",
            "The pattern to match file names against",
            "Wildcard pattern of the files",
        ],
        "string",
    ),
    "regex": (
        "pattern regex query expression search needle regexp term".split(),
        [
            "The regular expression to search for",
            "What to search for in the files",
            "Search expression",
        ],
        "string",
    ),
    "dir": (
        "dir directory folder path root cwd base where workdir location".split(),
        ["The directory", "Folder to look in", "Where to start", "Directory path"],
        "string",
    ),
    "url": (
        "url uri link address page href".split(),
        ["The address to fetch", "URL of the page", "Web address"],
        "string",
    ),
    "query": (
        "query q search_query terms question text phrase".split(),
        ["What to search for", "The search terms", "Query text"],
        "string",
    ),
    "city": (
        "city location place town where".split(),
        ["Name of the city", "The place", "City to look up"],
        "string",
    ),
    "expr": (
        "expression expr formula input calculation".split(),
        ["The expression to evaluate", "Arithmetic expression", "What to calculate"],
        "string",
    ),
    "person": (
        "to recipient person user name contact receiver".split(),
        ["Who receives it", "Name of the person", "The recipient"],
        "string",
    ),
    "message": (
        "message text body content msg note".split(),
        ["The message", "Text to send", "What to say"],
        "string",
    ),
    "src": (
        "source src from old_path origin from_path".split(),
        ["The present path", "File to move", "Source path"],
        "string",
    ),
    "dst": (
        "destination dst to new_path target to_path".split(),
        ["The new path", "Where it goes", "Target path"],
        "string",
    ),
    "key": (
        "key name setting option field id".split(),
        ["The key", "Name of the setting", "Which entry"],
        "string",
    ),
    "val": (
        "value val content data setting_value".split(),
        ["The value", "New value", "What to store"],
        "string",
    ),
    "minutes": (
        "minutes delay duration time_minutes after".split(),
        ["Minutes from now", "Delay in minutes"],
        "integer",
    ),
    "limit": (
        "limit max max_lines count n head_limit maxResults".split(),
        ["How many lines at most", "Maximum number", "Limit of results"],
        "integer",
    ),
    "offset": (
        "offset start start_line first line_start from_line".split(),
        ["Line to start from", "First line, counted from 1", "Start line"],
        "integer",
    ),
    "timeout": (
        "timeout timeout_ms time_limit max_time".split(),
        ["Timeout in milliseconds", "Time limit (ms)"],
        "integer",
    ),
    "include": (
        "include file_pattern glob only files".split(),
        ["File pattern to include", "Only these files"],
        "string",
    ),
    "all": (
        "replaceAll replace_all all global every".split(),
        ["Replace every occurrence", "Change all matches"],
        "boolean",
    ),
}
OPTIONAL_EXTRA = {  # optional arguments that a request need not mention
    "write": ["all"],
    "read": ["offset", "limit"],
    "edit": ["all"],
    "bash": ["timeout", "dir"],
    "glob": ["dir"],
    "grep": ["dir", "include"],
    "list": ["limit"],
    "search": ["limit"],
    "fetch": ["timeout"],
}
# concept -> (verbs, nouns, descriptions, required arguments)
CONCEPTS = {
    "write": (
        "write create save make put store new produce dump compose".split(),
        "file document text doc content note".split(),
        [
            "Write content to a file",
            "Create a file with the given content",
            "Save text into a file on disk",
            "Writes a file to the local filesystem",
            "Store text under a path, replacing what was there",
            "Make a new file",
            "Put data into a file (overwrites)",
            "Creates or overwrites a file",
            "Produce a text file from the given string",
            "Record the given text in a file",
        ],
        ["path", "content"],
    ),
    "read": (
        "read open view show load cat get fetch inspect display".split(),
        "file document text contents doc lines".split(),
        [
            "Read a file",
            "Return the content of a file",
            "Show what a file holds",
            "Reads a file from the local filesystem",
            "Open a file and get its text",
            "View file contents",
            "Load the text of a file",
            "Get the lines of a text file",
            "Look into a file",
            "Print a file",
        ],
        ["path"],
    ),
    "edit": (
        "edit replace modify change patch update substitute swap alter revise".split(),
        "file text string content in_file".split(),
        [
            "Replace text in a file",
            "Performs exact string replacements in files",
            "Edit a file by replacing a string",
            "Change one piece of text in a file to another",
            "Substitute text inside a file",
            "Swap an exact string of a file for a new one",
            "Modify an existing file",
            "Patch a file",
            "Find a string in a file and put another in its place",
            "Alter file contents",
        ],
        ["path", "old", "new"],
    ),
    "bash": (
        "run bash exec shell execute terminal invoke launch sh cmd".split(),
        "command shell bash process line script".split(),
        [
            "Run a shell command",
            "Execute a command in a shell",
            "Executes a given bash command in a persistent shell session",
            "Run a command line and return its output",
            "Start a program in the terminal",
            "Execute bash",
            "Invoke a command on the system",
            "Runs commands",
            "Launch a process and capture its output",
            "Terminal access: executes one line",
        ],
        ["command"],
    ),
    "glob": (
        "glob find match list search locate scan lookup".split(),
        "files paths by_pattern pattern filenames".split(),
        [
            "Find files by pattern",
            "Fast file pattern matching tool",
            "List the files that match a glob pattern",
            "Search for file names with wildcards",
            "Locate files whose name fits a pattern",
            "Match paths against a glob",
            "Return the paths that match",
            "Look up files by wildcard",
            "File name search",
            "Scan the tree for names",
        ],
        ["pattern"],
    ),
    "grep": (
        "grep search find scan rg lookup seek".split(),
        "content text in_files code matches lines".split(),
        [
            "Search file contents with a regular expression",
            "Fast content search tool",
            "Find lines that match a pattern",
            "Look for text inside files",
            "Search the code for an expression",
            "Scan files for a regular expression",
            "List matching lines",
            "Find text in the project",
            "Full-text search in files",
            "Grep through the sources",
        ],
        ["regex"],
    ),
    "list": (
        "list ls show dir browse".split(),
        "directory folder dir entries files".split(),
        [
            "List a directory",
            "Show the entries of a folder",
            "List what is in a directory",
            "Return the files and folders below a path",
            "Browse a folder",
        ],
        ["dir"],
    ),
    "delete": (
        "delete remove erase rm unlink drop".split(),
        "file document path entry".split(),
        [
            "Delete a file",
            "Remove a file from disk",
            "Erase a file",
            "Unlink a path",
            "Permanently remove a file",
        ],
        ["path"],
    ),
    "move": (
        "move rename mv relocate".split(),
        "file path document".split(),
        [
            "Move or rename a file",
            "Rename a file",
            "Move a file to a new path",
            "Relocate a file",
            "Change a file's path",
        ],
        ["src", "dst"],
    ),
    "fetch": (
        "fetch get download open browse".split(),
        "url page web webpage link".split(),
        [
            "Fetch a web page",
            "Download the content of a URL",
            "Get a page from the web",
            "Retrieve a web address",
            "Load a page by its URL",
        ],
        ["url"],
    ),
    "search": (
        "search look find query ask".split(),
        "web internet online engine knowledge".split(),
        [
            "Search the web",
            "Query a search engine",
            "Find information online",
            "Look something up on the internet",
            "Web search",
        ],
        ["query"],
    ),
    "weather": (
        "get weather check current show".split(),
        "weather forecast conditions temperature".split(),
        [
            "Get the weather for a city",
            "Current weather at a place",
            "Look up the forecast",
            "Weather report",
            "Tells the weather of a town",
        ],
        ["city"],
    ),
    "calc": (
        "calc calculate compute evaluate solve".split(),
        "expression math sum arithmetic formula".split(),
        [
            "Evaluate an arithmetic expression",
            "A calculator",
            "Compute a result",
            "Do arithmetic",
            "Calculate a formula",
        ],
        ["expr"],
    ),
    "send": (
        "send post deliver mail notify".split(),
        "message mail note text email".split(),
        [
            "Send a message to a person",
            "Deliver a text to somebody",
            "Send mail",
            "Post a note to a recipient",
            "Notify a person",
        ],
        ["person", "message"],
    ),
    "remind": (
        "set add create schedule".split(),
        "reminder alarm timer alert".split(),
        [
            "Set a reminder",
            "Schedule an alert",
            "Add a timer with a text",
            "Remind the user later",
            "Create an alarm",
        ],
        ["message", "minutes"],
    ),
    "setting": (
        "set put update configure store".split(),
        "setting option config value key".split(),
        [
            "Set a configuration value",
            "Store a value under a key",
            "Change a setting",
            "Put a key into the store",
            "Update an option",
        ],
        ["key", "val"],
    ),
    "lookup": (
        "get lookup find query fetch".split(),
        "setting user record entry value".split(),
        [
            "Get the value of a key",
            "Look up an entry",
            "Return the record with this id",
            "Fetch a stored value",
            "Query the store by key",
        ],
        ["key"],
    ),
}
CORE = ["write", "read", "edit", "bash", "glob", "grep"]
CLIENT_TOOLS = {  # a known agent's tools: name -> (concept, {argument kind: argument name})
    "write": ("write", {"path": "filePath", "content": "content"}),
    "read": ("read", {"path": "filePath", "offset": "offset", "limit": "limit"}),
    "edit": (
        "edit",
        {"path": "filePath", "old": "oldString", "new": "newString", "all": "replaceAll"},
    ),
    "bash": ("bash", {"command": "command", "timeout": "timeout", "dir": "workdir"}),
    "glob": ("glob", {"pattern": "pattern", "dir": "path"}),
    "grep": ("grep", {"regex": "pattern", "dir": "path", "include": "include"}),
}
NAMESPACES = [
    "fs_",
    "mcp__files__",
    "workspace.",
    "local-",
    "sys_",
    "my_",
    "agent_",
    "x_",
    "dev.",
    "tool_",
    "api_",
    "std-",
]


class Tool:
    def __init__(self, concept, args, schema):
        self.concept, self.args, self.schema = concept, args, schema
        self.name = schema["function"]["name"]

    def call(self, **values):
        return self.name, {self.args[k]: v for k, v in values.items()}


def tool_name(g, concept, taken):
    verbs, nouns, _, _ = CONCEPTS[concept]

    def make():
        x = g.r.random()
        if x < 0.18:
            return g.nonce() if g.chance(0.7) else g.nonce() + "_" + g.nonce()
        v, n = g.of(verbs), g.of(nouns)
        if x < 0.26:
            return v
        if g.chance(0.12):
            v, n = n, v
        if g.chance(0.15):
            n = g.some_word() + "_" + n
        y = g.r.random()
        s = (
            v + "_" + n
            if y < 0.45
            else (
                v + n.title().replace("_", "")
                if y < 0.65
                else (
                    v + "-" + n.replace("_", "-")
                    if y < 0.75
                    else (
                        v.title() + n.title().replace("_", "")
                        if y < 0.85
                        else v + "." + n if y < 0.9 else v + n
                    )
                )
            )
        )
        if g.chance(0.2):
            s = g.of(NAMESPACES) + s
        if g.chance(0.08):
            s += "_" + g.of(["v2", "v3", "tool", "now", "x", "2", "ex"])
        return s

    for _ in range(50):
        s = g.fresh(make)
        if s not in taken:
            return s
    return g.fresh(lambda: g.nonce() + g.nonce())


def arg_name(g, kind, taken):
    def make():
        x = g.r.random()
        if x < 0.12:
            return g.nonce()
        n = g.of(ARGS[kind][0])
        if x < 0.22:
            n = g.of(["the_", "my_", "in_", "arg_", "p_"]) + n
        elif x < 0.3:
            n = n + g.of(["_1", "Arg", "_str", "_value", "_param"])
        return n

    for _ in range(50):
        s = g.fresh(make)
        if s.lower() not in taken:
            return s
    return g.fresh(lambda: g.nonce() + "_" + g.nonce())


def describe(g, base, long_share=0.25):
    s = base
    if g.chance(0.4):
        s += g.of(
            [
                ".",
                ". Use it whenever the user asks for that.",
                ". Returns a short text.",
                ". Paths may be relative.",
                ", quickly and safely",
                ". Fails if the input is not valid.",
            ]
        )
    if g.chance(long_share):
        s += "\n\n" + "\n".join(g.of(["- ", "* ", ""]) + g.sentence() for _ in range(g.int(1, 8)))
    return s.replace("<|", "").replace("|>", "")


def make_tool(g, concept, taken, long_share=0.25):
    """A tool of a concept under a name, argument names and descriptions of our side of the
    split."""
    _, _, descs, required = CONCEPTS[concept]
    name = tool_name(g, concept, taken)
    taken.add(name)
    kinds = list(required)
    for k in OPTIONAL_EXTRA.get(concept, []):
        if g.chance(0.35):
            kinds.append(k)
    args, props, used = {}, {}, set()
    g.r.shuffle(kinds)
    for k in kinds:
        n = arg_name(g, k, used)
        used.add(n.lower())
        args[k] = n
        p = {"type": ARGS[k][2]}
        if g.chance(0.85):
            p["description"] = describe(g, g.of(ARGS[k][1]), long_share / 4)
        elif n not in ARGS[k][0]:
            p["description"] = g.of(ARGS[k][1])
        if g.chance(0.05):
            p["default"] = ""
        props[n] = p
    schema = {
        "type": "function",
        "function": {
            "name": name,
            "description": describe(g, g.phrase(descs), long_share),
            "parameters": {
                "type": "object",
                "properties": props,
                "required": [args[k] for k in required],
            },
        },
    }
    return Tool(concept, args, schema)


def nonsense_tool(g, taken):
    """A distractor about something else altogether."""
    verb, noun = g.word(), g.word()
    name = g.fresh(
        lambda: g.of([g.word() + "_" + g.word(), g.nonce(), g.word() + g.word().capitalize()])
    )
    taken.add(name)
    props = {
        g.ident(): {
            "type": g.of(["string", "integer", "boolean"]),
            "description": g.words(2, 8).capitalize(),
        }
        for _ in range(g.int(1, 4))
    }
    if g.chance(0.15):
        props["mode"] = {
            "type": "string",
            "enum": [g.word() for _ in range(3)],
            "description": "The mode",
        }
    if g.chance(0.15):
        props["items"] = {
            "type": "array",
            "description": g.words(2, 5),
            "items": {
                "type": "object",
                "properties": {g.word(): {"type": "string", "description": g.words(1, 5)}},
                "required": [],
            },
        }
    return Tool(
        "none",
        {},
        {
            "type": "function",
            "function": {
                "name": name,
                "description": describe(
                    g, (verb + " the " + noun + " " + g.words(0, 4)).strip().capitalize()
                ),
                "parameters": {
                    "type": "object",
                    "properties": props,
                    "required": [g.of(list(props))],
                },
            },
        },
    )


def client_tools(client, lean):
    """The recorded tool list of a real agent: all its tools, or the six that a lean agent keeps."""
    out = []
    for t in client["tools"]:
        n = t["function"]["name"]
        if n in CLIENT_TOOLS:
            out.append(Tool(CLIENT_TOOLS[n][0], CLIENT_TOOLS[n][1], t))
        elif not lean:
            out.append(Tool("none", {}, t))
    return out


def load_client(folder):
    """Recorded requests of the agent (observed_tools.json and so on); None if there is no such
    folder."""
    if not folder or not os.path.isdir(folder):
        return None

    def read(n):
        with open(os.path.join(folder, n), encoding="utf-8") as f:
            return f.read()

    return {
        "tools": json.loads(read("observed_tools.json")),
        "system": read("observed_system_prompt.txt"),
        "title": json.loads(read("observed_title_request.json")),
    }
