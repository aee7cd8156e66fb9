package admin

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const schemaFile = "../../docs/reference/subscription.schema.json"

// node is a JSON value; that of a schema is an object.
type node = map[string]any

func readSchema(t *testing.T) node {
	t.Helper()
	text, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	var s node
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// resolve follows a reference into the definitions.
func resolve(root, n node) node {
	if ref, ok := n["$ref"].(string); ok {
		return root["$defs"].(node)[strings.TrimPrefix(ref, "#/$defs/")].(node)
	}
	return n
}

// typeNames are the types that a schema allows, joined by |.
func typeNames(n node) string {
	if list, ok := n["type"].([]any); ok {
		return strings.Trim(strings.ReplaceAll(fmt.Sprint(list), " ", "|"), "[]")
	}
	return fmt.Sprint(n["type"])
}

// outlineOfSchema is one line for each value that the schema describes: its path, its type, and whether it is required.
func outlineOfSchema(root, n node, path, presence string) []string {
	n = resolve(root, n)
	lines := []string{path + ": " + typeNames(n) + presence}
	switch n["type"] {
	case "array":
		return append(lines, outlineOfSchema(root, n["items"].(node), path+"[]", "")...)
	case "object":
		if values, ok := n["additionalProperties"].(node); ok {
			return append(lines, outlineOfSchema(root, values, path+".*", "")...)
		}
		required, _ := n["required"].([]any)
		for name, p := range n["properties"].(node) {
			presence := ""
			if slices.Contains(required, any(name)) {
				presence = ", required"
			}
			lines = append(lines, outlineOfSchema(root, p.(node), path+"."+name, presence)...)
		}
	}
	return lines
}

// outlineOfType is the same of a Go type as encoding/json writes it.
func outlineOfType(t *testing.T, of reflect.Type, path, presence string) []string {
	t.Helper()
	line := func(kind string) []string { return []string{path + ": " + kind + presence} }
	switch of.Kind() {
	case reflect.String:
		return line("string")
	case reflect.Bool:
		return line("boolean")
	case reflect.Int, reflect.Int32, reflect.Int64:
		return line("integer")
	case reflect.Float64:
		return line("number")
	case reflect.Slice:
		return append(line("array"), outlineOfType(t, of.Elem(), path+"[]", "")...)
	case reflect.Map:
		return append(line("object"), outlineOfType(t, of.Elem(), path+".*", "")...)
	case reflect.Struct:
		lines := line("object")
		for i := range of.NumField() {
			name, options, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			presence := ", required"
			if options == "omitempty" {
				presence = ""
			}
			lines = append(lines, outlineOfType(t, of.Field(i).Type, path+"."+name, presence)...)
		}
		return lines
	}
	if of == reflect.TypeFor[*time.Time]() {
		return line("string|null")
	}
	if of == reflect.TypeFor[*int64]() { // absent, or a number
		return line("integer")
	}
	t.Fatalf("%s is a %s, for which this test knows no JSON type", path, of)
	return nil
}

func TestSchemaIsInStepWithTheStructs(t *testing.T) {
	schema := readSchema(t)
	got := outlineOfSchema(schema, schema, "", "")
	want := outlineOfType(t, reflect.TypeFor[Subscription](), "", "")
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("schema lacks %q", line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("schema says %q, the structs do not", line)
		}
	}
}

func TestSchemaDescribesEveryField(t *testing.T) {
	schema := readSchema(t)
	objects := maps.Clone(schema["$defs"].(node))
	objects["subscription"] = schema
	for name, o := range objects {
		for field, p := range o.(node)["properties"].(node) {
			description, _ := p.(node)["description"].(string)
			if description == "" {
				t.Errorf("%s.%s has no description", name, field)
			}
			if strings.HasSuffix(field, "_seconds") && !strings.Contains(description, "seconds") || strings.HasSuffix(field, "_bytes") && !strings.Contains(description, "bytes") {
				t.Errorf("%s.%s: the description does not name the unit", name, field)
			}
		}
	}
}

// validate lists what is wrong with a value by the keywords that our schema uses. Fields that it does not know are wrong here: readers
// of the page may ignore them, we must not add any without a word.
func validate(root, n node, v any, path string) (wrong []string) {
	n = resolve(root, n)
	fail := func(format string, args ...any) { wrong = append(wrong, path+": "+fmt.Sprintf(format, args...)) }
	wants := strings.Split(typeNames(n), "|")
	if kind := kindOf(v); !slices.Contains(wants, kind) && (kind != "integer" || !slices.Contains(wants, "number")) {
		fail("is %s, want %s", kind, typeNames(n))
		return wrong
	}
	switch v := v.(type) {
	case float64:
		if least, ok := n["minimum"].(float64); ok && v < least {
			fail("%v is below %v", v, least)
		}
	case string:
		if pattern, ok := n["pattern"].(string); ok && !regexp.MustCompile(pattern).MatchString(v) {
			fail("%q does not match %s", v, pattern)
		}
		if n["format"] == "date-time" {
			if _, err := time.Parse(time.RFC3339, v); err != nil {
				fail("%q is no date-time", v)
			}
		}
	case []any:
		for i, item := range v {
			wrong = append(wrong, validate(root, n["items"].(node), item, fmt.Sprintf("%s[%d]", path, i))...)
		}
	case node:
		required, _ := n["required"].([]any)
		for _, name := range required {
			if _, ok := v[name.(string)]; !ok {
				fail("lacks %s", name)
			}
		}
		properties, _ := n["properties"].(node)
		for name, field := range v {
			p, ok := properties[name].(node)
			if !ok {
				p, ok = n["additionalProperties"].(node)
			}
			if !ok {
				fail("has the unknown %s", name)
				continue
			}
			wrong = append(wrong, validate(root, p, field, path+"."+name)...)
		}
	}
	return wrong
}

func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case []any:
		return "array"
	case float64:
		if v == math.Trunc(v) {
			return "integer"
		}
		return "number"
	}
	return "object"
}

// sample has a value in every field, and a second partition and lane with as little as there can be.
func sample() Subscription {
	next := time.Date(2026, 1, 1, 0, 0, 30, 0, time.UTC)
	end, left := int64(80), int64(38)
	return Subscription{
		ID: "orders-to-billing", Source: "kafka://my-cluster/orders", Sink: "http://localhost:8080/orders", Options: map[string]string{"group.id": "billing"},
		Status: Status{
			Group: "billing", Joined: true, Paused: true, Draining: true, InFlight: 3, InFlightBytes: 1200, Running: 2, ParkedKeys: 2, ParkedRecords: 8,
			FailureLimit: true, WaitingFor: "look up <broker> & wait", Assigned: []int32{0, 7},
			Partitions: []Partition{
				{
					Partition: 0, Committed: 40, Settled: 42, Position: 60, End: 100, EndAt: &end, EndRemaining: &left, LagRecords: 58, LagSeconds: 1.5, OldestUnsettledSeconds: 12.25,
					BlockedByTransaction: 4, InFlight: 3, ParkedKeys: 2, Lost: 1, LastError: "handler answered 500",
					Parked: []Parked{
						{KeyHash: "0123456789ab", Offset: 42, Records: 7, LastStatus: 500, LastError: "handler answered 500", Attempts: 3, NextAttempt: &next},
						{KeyHash: "ba9876543210", Offset: 50, Records: 1},
					},
				},
				{Partition: 7, End: -1, Parked: []Parked{}},
			},
		},
	}
}

// page is the sample as the page shows it.
func page(t *testing.T) node {
	t.Helper()
	var v node
	if err := json.Unmarshal(ask(Handler(&fake{subscription: sample()}, noMetrics), http.MethodGet, "/subscription").Body.Bytes(), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestPageIsValidByTheSchema(t *testing.T) {
	schema := readSchema(t)
	for _, wrong := range validate(schema, schema, page(t), "") {
		t.Error(wrong)
	}
}

// TestSchemaRefusesOtherPages makes sure that the test above can fail.
func TestSchemaRefusesOtherPages(t *testing.T) {
	schema := readSchema(t)
	first := func(v node) node { return v["status"].(node)["partitions"].([]any)[0].(node) }
	for name, spoil := range map[string]func(node){
		"missing field":    func(v node) { delete(v, "sink") },
		"unknown field":    func(v node) { first(v)["key"] = "customer-07" },
		"null list":        func(v node) { first(v)["parked"] = nil },
		"text for offset":  func(v node) { first(v)["committed"] = "40" },
		"fraction":         func(v node) { first(v)["committed"] = 40.5 },
		"offset below -1":  func(v node) { first(v)["end"] = -2.0 },
		"raw key":          func(v node) { first(v)["parked"].([]any)[0].(node)["key_hash"] = "customer-07" },
		"time as a number": func(v node) { first(v)["parked"].([]any)[0].(node)["next_attempt"] = 1767225630.0 },
		"option no text":   func(v node) { v["options"].(node)["fetch.max.bytes"] = 5.0 },
	} {
		v := page(t)
		spoil(v)
		if wrong := validate(schema, schema, v, ""); len(wrong) != 1 {
			t.Errorf("%s: found %q, want one mistake", name, wrong)
		}
	}
}
