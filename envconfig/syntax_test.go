package envconfig

import (
	"reflect"
	"slices"
	"testing"
)

// texts makes a list of texts.
func texts(list ...string) node {
	n := node{kind: 'l'}
	for _, one := range list {
		n.items = append(n.items, node{kind: 't', text: one})
	}
	return n
}

func TestListsAsRestateReadsThem(t *testing.T) {
	cases := map[string]node{
		`[]`:                     {kind: 'l'},
		` [ a , "b" , ] `:        texts("a", "b"),
		`[true,1.5,a b]`:         texts("true", "1.5", "a b"),
		`["\"\\\n\t\r\b\f\/"]`:   texts("\"\\\n\t\r\b\f/"),
		`["\u00e9\U0001F600"]`:   texts("é😀"),
		`["\ud83d\ude00"]`:       texts("😀"),
		`["\ud83d"]`:             texts("\uFFFD"),
		`{a=b,"c.d"="e",f-g_1=}`: {},
		`{a=b,"c.d" : "e"}`:      {kind: 'd', names: []string{"a", "c.d"}, items: texts("b", "e").items},
		`text`:                   {kind: 't', text: "text"},
		`[null]`:                 {kind: 'l', items: []node{{kind: 't', text: "null", unknown: true}}},
	}
	for text, want := range cases {
		got, err := parseList(text)
		if want.kind == 0 {
			if err == nil {
				t.Errorf("%s: got %+v, want an error", text, got)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", text, got, err, want)
		}
	}
}

func TestListsThatAreBroken(t *testing.T) {
	cases := map[string]string{
		`[a`:            "lacks a comma or ] (near byte 2)",
		`[a]b`:          "has something after the end of the list (near byte 3)",
		`["a]`:          "has a quotation mark that is not closed (near byte 4)",
		`["\x"]`:        "has an escape that is not known (near byte 4)",
		`["\u12"]`:      "has an escape that is not known (near byte 4)",
		`["\`:           "has an escape that is not known (near byte 3)",
		`[a"b]`:         "has a quotation mark or a line break inside a bare value (near byte 1)",
		`[,]`:           "lacks a value (near byte 1)",
		`{a}`:           "lacks = after a name (near byte 2)",
		`{=b}`:          "lacks a name (near byte 1)",
		`{a=b,a=c}`:     "has the same name twice in one table (near byte 7)",
		`{a.b=c}`:       `has a dot in a bare name: names with dots need quotation marks, like "sasl.username" (near byte 2)`,
		`[[[[[[x]]]]]]`: "is nested too deeply (near byte 5)",
		``:              "lacks a value (near byte 0)",
	}
	for text, want := range cases {
		if _, err := parseList(text); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestPropertiesAsJavaReadsThem(t *testing.T) {
	cases := map[string][]pair{
		"a=b\r\nc = d\n":             {{"a", "b"}, {"c", "d"}},
		"# x\n! y\n\n  a:b":          {{"a", "b"}},
		"a b c":                      {{"a", "b c"}},
		"a = b = c ":                 {{"a", "b = c "}},
		"a":                          {{"a", ""}},
		"a\\\n  b=c\\\n  d\\\\\ne=f": {{"ab", "cd\\"}, {"e", "f"}},
		"a\\ b\\=\\:=c":              {{"a b=:", "c"}},
		"p=\\t\\n\\r\\f\\u00e9\\q":   {{"p", "\t\n\r\féq"}},
		"p=\\ud83d\\ude00":           {{"p", "😀"}},
		"a=b\\":                      {{"a", "b"}},
		"a=\\# no comment":           {{"a", "# no comment"}},
	}
	for text, want := range cases {
		if got, err := parseProperties(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"=b", "a=\\u00g0", "a=b\na=c"} {
		if got, err := parseProperties(text); err == nil {
			t.Errorf("%q: got %q, want an error", text, got)
		}
	}
}

func TestLoginModules(t *testing.T) {
	good := map[string][2]string{
		`org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="p";`:                 {"u", "p"},
		"org.apache.kafka.common.security.scram.ScramLoginModule required\n username='u' tokenauth=\"x\" password=p;": {"u", "p"},
		`PlainLoginModule required username="a\"b" password="c\\d" ; `:                                                {`a"b`, `c\d`},
	}
	for text, want := range good {
		if got, err := parseJAAS(text, nil); err != nil || !slices.Equal(got, []pair{{"sasl.username", want[0]}, {"sasl.password", want[1]}}) {
			t.Errorf("%s: %q %v", text, got, err)
		}
	}
	for _, text := range []string{"", "PlainLoginModule", `PlainLoginModule required username="u`, `PlainLoginModule required username="u" password="p"; Other x;`, "a.OAuthBearerLoginModule required a=b;"} {
		if got, err := parseJAAS(text, nil); err == nil {
			t.Errorf("%s: got %q, want an error", text, got)
		}
	}
}

func TestOptionNamesInVariables(t *testing.T) {
	cases := map[string]string{
		"KAFKA_OPTION_SASL_PASSWORD": "sasl.password",
		"KAFKA_OPTION_LOG__LEVEL":    "log_level",
		"KAFKA_OPTION_A___B":         "a-b",
		"KAFKA_OPTION_A_B___C__D":    "a.b-c_d",
	}
	for variable, want := range cases {
		if got := decodeOption(variable); got != want {
			t.Errorf("%s: %s, want %s", variable, got, want)
		}
		if got := encodeOption(want); got != variable {
			t.Errorf("%s: %s, want %s", want, got, variable)
		}
	}
	for _, o := range options {
		if variable := encodeOption(o.Name); !optionVariable.MatchString(variable) || decodeOption(variable) != o.Name {
			t.Errorf("%s cannot be written as a variable (%s)", o.Name, variable)
		}
	}
}

func FuzzParseList(f *testing.F) {
	for _, text := range []string{list, jsonList, `[{a=["\u00e9"],"b.c":null}]`, "[[[[", `{a=b,a=b}`, `"\ud83d\u"`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := parseList(text)
		if err == nil && len(n.names) > 0 && len(n.names) != len(n.items) {
			t.Errorf("a table with %d names has %d values", len(n.names), len(n.items))
		}
		_, _ = clusterFile(text)
	})
}

func FuzzParseProperties(f *testing.F) {
	for _, text := range []string{properties, "a=\\ud83d\\u", "\\", "a\\", "=", "sasl.jaas.config=a b c=\"d;"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		pairs, err := propertiesOptions(text)
		for _, p := range pairs {
			if err == nil && p.name == "" {
				t.Error("a property without name")
			}
		}
	})
}
