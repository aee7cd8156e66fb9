package envconfig

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// entry is one variable as the reference shows it.
type entry struct {
	name, group, standard, meaning string
	words                          []string
	file                           bool
}

func entries() []entry {
	var list []entry
	group := ""
	fields(func(f reflect.StructField, name string) {
		if g := f.Tag.Get("group"); g != "" {
			group = g
		}
		e := entry{
			name: name, group: group, meaning: f.Tag.Get("desc"), words: split(f.Tag.Get("values")),
			file: f.Tag.Get("file") != "", standard: f.Tag.Get("default"),
		}
		if e.standard == "" {
			e.standard = f.Tag.Get("envDefault")
		}
		list = append(list, e)
	})
	return list
}

// names gives the twin too.
func (e entry) names() string {
	if e.file {
		return "`" + e.name + "`, `_FILE`"
	}
	return "`" + e.name + "`"
}

// markdown keeps text from being read as markup.
var markdown = strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;", "*", `\*`)

const referenceHead = `# Environment variables

<!-- Generated from envconfig/vars.go and the option tables beside it: go generate ./envconfig -->

Durations are like ` + "`500ms`, `20s` or `1m30s`, sizes like `64MiB` or `65536`, booleans `true` or `false`" + `. An empty variable counts as unset.
A variable marked ` + "`_FILE`" + ` may be given by a file instead, named by the variable with that suffix: one trailing newline is trimmed, and both
set is a mistake. Secrets from files are read again when they are used; of a URL in a file only the query may change.

A name that begins with ` + "`KAFKA_`, `SUBSCRIPTION`, `HANDLER_`, `RETRY_`, `DEAD_LETTER_`, `PARKED_` or `MAX_IN_FLIGHT`" + ` and that is not below is a
mistake, except for what Kubernetes sets for services. All mistakes are told at once, at start, with exit code 2.
`

// Reference gives the reference of all variables and options in Markdown.
func Reference() string {
	var b strings.Builder
	b.WriteString(referenceHead)
	group := ""
	for _, e := range entries() {
		if e.group != group {
			group = e.group
			fmt.Fprintf(&b, "\n## %s\n\n| Variable | Default | Meaning |\n|---|---|---|\n", group)
		}
		meaning := markdown.Replace(e.meaning)
		if len(e.words) > 0 {
			meaning += ". One of `" + strings.Join(e.words, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", e.names(), markdown.Replace(e.standard), meaning)
	}
	b.WriteString(optionsHead)
	for _, o := range options {
		if !o.Producer {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", strings.Join(append([]string{o.Name}, o.Aliases...), "`, `"), o.verdict(), o.shownDefault(), markdown.Replace(o.meaning()))
		}
	}
	b.WriteString("\nOptions for producers are refused too (in a `.properties` file noted): ")
	b.WriteString("`" + strings.Join(producerNames(), "`, `") + "`.\n")
	return b.String()
}

const optionsHead = `
## librdkafka options

For ` + "`SUBSCRIPTION_OPTIONS`, `KAFKA_OPTION_<NAME>` and the options of a cluster" + `. *Honoured* options do what librdkafka's documentation says, with what
is said here; *noted* ones are accepted and have no effect, told at start; *refused* ones are a mistake. Noted and refused hold only for values other
than librdkafka's default.

| Option | | Default | Here |
|---|---|---|---|
`

func producerNames() []string {
	var list []string
	for _, o := range options {
		if o.Producer {
			list = append(append(list, o.Name), o.Aliases...)
		}
	}
	return list
}

func (o *option) verdict() string {
	switch o.Class {
	case apply:
		return "honoured"
	case ignore:
		return "noted"
	}
	return "refused"
}

// shownDefault words the option's default, with librdkafka's where it is another.
func (o *option) shownDefault() string {
	switch {
	case o.Ours != "":
		return fmt.Sprintf("`%s` (librdkafka: `%s`)", o.Ours, o.Default)
	case o.Class == apply && o.Default != "" && o.Name != "sasl.mechanisms":
		return "`" + o.Default + "`"
	}
	return ""
}

func (o *option) meaning() string {
	text := o.Effect
	if o.Kind == whole && o.Class == apply {
		text += "; " + strconv.FormatInt(o.Min, 10) + " to " + strconv.FormatInt(o.Max, 10)
	}
	if o.Variable != "" {
		text += "; the same as " + o.Variable
	}
	if len(o.Refused) > 0 {
		text += "; refused: " + strings.Join(o.Refused, ", ")
	}
	if o.Always {
		text += "; any value is noted"
	}
	return text
}

// HelpText gives the same reference as plain text, without the options that are not honoured.
func HelpText() string {
	var b strings.Builder
	group := ""
	for _, e := range entries() {
		if e.group != group {
			if group != "" {
				b.WriteByte('\n')
			}
			group = e.group
			fmt.Fprintf(&b, "%s\n", strings.ToUpper(group))
		}
		fmt.Fprintf(&b, "\n  %s", e.name)
		if e.file {
			b.WriteString(" (or _FILE)")
		}
		if e.standard != "" {
			fmt.Fprintf(&b, "  [%s]", e.standard)
		}
		b.WriteByte('\n')
		if len(e.words) > 0 {
			wrap(&b, "one of "+strings.Join(e.words, ", "))
		}
		wrap(&b, e.meaning)
	}
	b.WriteString("\nLIBRDKAFKA OPTIONS THAT ARE HONOURED\n")
	for _, o := range options {
		if o.Class != apply {
			continue
		}
		standard := o.Default
		if o.Ours != "" {
			standard = o.Ours
		}
		fmt.Fprintf(&b, "\n  %s", strings.Join(append([]string{o.Name}, o.Aliases...), ", "))
		if standard != "" && o.Name != "sasl.mechanisms" {
			fmt.Fprintf(&b, "  [%s]", standard)
		}
		b.WriteByte('\n')
		wrap(&b, o.meaning())
	}
	return b.String()
}

// wrap writes a paragraph, indented, in lines of 100 columns.
func wrap(b *strings.Builder, text string) {
	column := 0
	for word := range strings.FieldsSeq(text) {
		if column+1+len(word) > 94 {
			b.WriteByte('\n')
			column = 0
		}
		if column == 0 {
			b.WriteString("     ")
		}
		b.WriteString(" " + word)
		column += 1 + len(word)
	}
	b.WriteByte('\n')
}
