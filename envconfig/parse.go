package envconfig

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// parser is one run of Parse.
type parser struct {
	report
	env      map[string]string // what is set, without empty values; the values of X_FILE twins stand under X
	fromFile map[string]string // X to the file that X_FILE named
	vars     variables
	broken   map[string]bool // variables whose problem is reported already
	cfg      Config
}

// Parse turns KEY=VALUE lines, as os.Environ gives them, into a Config. Nothing but the list and the files it names is read. The error is
// an *Errors with every mistake; the Config is nil then.
func Parse(environ []string) (*Config, error) {
	p := &parser{env: map[string]string{}, fromFile: map[string]string{}, broken: map[string]bool{}}
	for _, line := range environ {
		name, value, ok := strings.Cut(line, "=")
		// As in package os: the first of two equal names counts. A name that starts with = is one of Windows' own.
		if _, seen := p.env[name]; !ok || name == "" || seen {
			continue
		}
		p.env[name] = value
	}
	for name, value := range p.env {
		if value == "" {
			delete(p.env, name)
		}
	}
	p.unknownNames()
	p.readTwins()
	p.readVariables()
	p.platform()

	settings := p.subscription()
	cluster := p.cluster()
	p.delivery()
	p.run()
	p.kafka(cluster, settings)
	p.handler()
	p.deadLetter()
	p.identity()
	p.tracing()
	p.together()

	if err := p.err(); err != nil {
		return nil, err
	}
	p.cfg.Notes = p.sortedNotes()
	return &p.cfg, nil
}

// fail reports a problem of a variable once: what follows from a broken value says nothing new.
func (p *parser) fail(variable, format string, args ...any) {
	p.broken[variable] = true
	p.report.fail(variable, format, args...)
}

// set says whether the user gave the variable, by value or by file.
func (p *parser) set(name string) bool { return p.env[name] != "" }

// name is the variable to blame for what is in X: X itself or its twin.
func (p *parser) name(variable string) string {
	if _, ok := p.fromFile[variable]; ok {
		return variable + "_FILE"
	}
	return variable
}

// fields walks the tagged struct in order.
func fields(visit func(f reflect.StructField, name string)) {
	t := reflect.TypeFor[variables]()
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("env")
		if name == "-" {
			name = f.Tag.Get("pattern")
		}
		visit(f, name)
	}
}

// readTwins puts the text of X_FILE's file where X would stand.
func (p *parser) readTwins() {
	fields(func(f reflect.StructField, name string) {
		if f.Tag.Get("file") == "" || f.Tag.Get("pattern") != "" {
			return
		}
		p.readTwin(name)
	})
}

// readTwin reads one twin and says whether X now has a value from it.
func (p *parser) readTwin(name string) bool {
	twin := name + "_FILE"
	file, ok := p.env[twin]
	if !ok {
		return false
	}
	if p.set(name) {
		p.fail(twin, "is set beside %s; want the value or the file, not both", name)
		return false
	}
	text, err := readFile(file)
	if err != nil {
		p.fail(twin, "the file cannot be read (%v); want the path of a readable file", err)
		return false
	}
	if text == "" {
		p.fail(twin, "the file is empty; want the value of %s in it", name)
		return false
	}
	p.env[name], p.fromFile[name] = text, file
	return true
}

// readVariables fills the struct and checks the words of every variable that takes words.
func (p *parser) readVariables() {
	err := env.ParseWithOptions(&p.vars, env.Options{Environment: p.env})
	names := map[string]string{} // the library's errors name Go fields
	fields(func(f reflect.StructField, name string) { names[f.Name] = name })
	if aggregate := (env.AggregateError{}); errors.As(err, &aggregate) {
		for _, e := range aggregate.Errors {
			if parse := (env.ParseError{}); errors.As(e, &parse) {
				p.fail(p.name(names[parse.Name]), "%v", parse.Err)
			}
		}
	}
	fields(func(f reflect.StructField, name string) {
		value := p.env[name]
		if value == "" || p.broken[name] {
			return
		}
		if words := split(f.Tag.Get("values")); len(words) > 0 && !slices.Contains(words, value) {
			p.fail(name, "%s is not valid; want %s", quote(value), oneOf(words))
		}
	})
}

// split cuts a comma list and drops what is empty.
func split(list string) []string {
	var parts []string
	for part := range strings.SplitSeq(list, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

// oneOf words a choice: "a", "a or b", "a, b or c".
func oneOf(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// platform looks at what the place we run at has set.
func (p *parser) platform() {
	p.function()
	if p.onCloudRun() && !p.set("SHUTDOWN_TIMEOUT") {
		p.vars.ShutdownTimeout = duration(8 * time.Second) // Cloud Run kills 10 s after SIGTERM
	}
}

func (p *parser) onCloudRun() bool {
	return p.set("K_SERVICE") || p.set("CLOUD_RUN_JOB") || p.set("CLOUD_RUN_WORKER_POOL")
}
