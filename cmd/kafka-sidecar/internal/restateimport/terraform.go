package restateimport

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// source is where Terraform finds the module.
const source = "github.com/kafka-sidecar/kafka-sidecar//terraform/modules/ecs-subscription"

// inputs are the inputs of the module that stand for variables; a dot leads to a field.
var inputs = map[string]string{
	"SUBSCRIPTION_SOURCE": "subscription.source", "SUBSCRIPTION_SINK": "subscription.sink", "KAFKA_BOOTSTRAP_SERVERS": "bootstrap_servers",
	"HANDLER_URL": "handler.url", "HANDLER_PROTOCOL": "handler.protocol", "HANDLER_TYPE": "handler.type",
	"NULL_KEY": "records.null_key", "START_AT": "start_at",
}

var (
	notInNames = regexp.MustCompile(`[^a-z0-9]+`)
	secretName = regexp.MustCompile(`_(HEADERS|PASSWORD|SECRET|KEY_PEM|CLIENT_ID)$`)
)

// WriteTerraform prints a subscription as a call of the Terraform module for ECS, with the same comments as Write. Secrets are references to
// be filled in.
func (s Subscription) WriteTerraform(w io.Writer, now time.Time) error {
	variables, refused := s.variables(now)
	name := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(s.ID), "-"), "-")
	if name == "" || name[0] < 'a' {
		name = "sub-" + name
	}
	name = strings.TrimRight(name[:min(len(name), 49)], "-")

	blocks := map[string][]string{}
	comments := []string{s.Source + " -> " + s.Sink, "Delete the subscription there first:  restate subscriptions delete " + s.ID}
	group := s.ID
	for _, v := range variables {
		if v.comment != "" {
			comments = append(comments, v.name+": "+v.comment)
		}
		input, known := inputs[v.name]
		block, field, nested := strings.Cut(input, ".")
		switch {
		case v.name == "SUBSCRIPTION_ID":
		case v.name == "KAFKA_OPTION_GROUP_ID":
			group = v.value
		case known && nested:
			blocks[block] = append(blocks[block], field+" = "+quote(v.value))
		case known:
			blocks[""] = append(blocks[""], input+" = "+quote(v.value))
		case secretName.MatchString(v.name):
			blocks["secrets"] = append(blocks["secrets"], v.name+" = "+quote("arn:aws:secretsmanager:eu-central-1:123456789012:secret:"+name+"-AbCdEf:"+strings.ToLower(v.name)+"::"))
		default:
			blocks["env"] = append(blocks["env"], v.name+" = "+quote(v.value))
		}
	}
	if len(blocks["secrets"]) > 0 {
		comments = append(comments, "secrets: put the values into Secrets Manager, and its ARNs here.")
	}
	blocks["subscription"] = append(blocks["subscription"], `options = { "group.id" = `+quote(group)+" }")
	comments = append(comments, refused...)
	for _, line := range mistakes(variables) {
		comments = append(comments, "To be mended: "+line)
	}

	var b strings.Builder
	for _, c := range comments {
		for line := range strings.SplitSeq(c, "\n") {
			b.WriteString(strings.TrimRight("# "+printable(line), " ") + "\n")
		}
	}
	fmt.Fprintf(&b, "module %q {\n  source = %q\n\n  name = %q\n", strings.ReplaceAll(name, "-", "_"), source, name)
	for _, line := range slices.Concat(blocks[""], []string{`image = "<image of kafka-sidecar, by digest>"`, `cluster_arn = "<ARN of the ECS cluster>"`, `subnet_ids = ["<subnet>"]`}) {
		b.WriteString("  " + line + "\n")
	}
	for _, block := range []string{"subscription", "handler", "records", "secrets", "env"} {
		if lines := blocks[block]; len(lines) > 0 {
			fmt.Fprintf(&b, "  %s = {\n    %s\n  }\n", block, strings.Join(lines, "\n    "))
		}
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// quote writes a string as HCL reads it: a template that begins with ${ or %{ is text.
func quote(text string) string {
	return strings.NewReplacer("${", "$${", "%{", "%%{").Replace(strconv.Quote(printable(text)))
}
