// Command googlestub is a Terraform provider that knows the schemas of some of Google's resources and nothing else: enough for
// "terraform validate", and for "terraform test" under mock_provider. It has no value rules and plans and applies nothing.
//
// schema.json has the shape of "terraform providers schema -json" and was read by schema.mjs from the bindings that are generated from
// hashicorp/google 8.7.0 (PyPI cdktn-provider-google 21.1.0).
package main

import (
	"context"
	_ "embed"
	"encoding/json"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tfprotov5/tf5server"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

//go:embed schema.json
var schemaJSON []byte

type (
	attribute struct {
		Type                         json.RawMessage
		Required, Optional, Computed bool
	}
	nested struct {
		NestingMode string `json:"nesting_mode"`
		MinItems    int64  `json:"min_items"`
		MaxItems    int64  `json:"max_items"`
		Block       block
	}
	block struct {
		Attributes map[string]attribute
		BlockTypes map[string]nested `json:"block_types"`
	}
	file struct {
		Provider, Version string
		ResourceSchemas   map[string]struct {
			Version int64
			Block   block
		} `json:"resource_schemas"`
	}
)

func (b block) schema() *tfprotov5.SchemaBlock {
	out := &tfprotov5.SchemaBlock{}
	for name, a := range b.Attributes {
		t, err := tftypes.ParseJSONType(a.Type) //nolint:staticcheck // the only reader of this form
		if err != nil {
			panic(name + ": " + err.Error())
		}
		out.Attributes = append(out.Attributes, &tfprotov5.SchemaAttribute{Name: name, Type: t, Required: a.Required, Optional: a.Optional, Computed: a.Computed})
	}
	modes := map[string]tfprotov5.SchemaNestedBlockNestingMode{
		"list": tfprotov5.SchemaNestedBlockNestingModeList, "set": tfprotov5.SchemaNestedBlockNestingModeSet, "single": tfprotov5.SchemaNestedBlockNestingModeSingle,
	}
	for name, n := range b.BlockTypes {
		out.BlockTypes = append(out.BlockTypes, &tfprotov5.SchemaNestedBlock{TypeName: name, Block: n.Block.schema(), Nesting: modes[n.NestingMode], MinItems: n.MinItems, MaxItems: n.MaxItems})
	}
	return out
}

type server struct {
	tfprotov5.ProviderServer // anything else panics: this provider plans and applies nothing
	file                     file
}

func (s *server) GetMetadata(context.Context, *tfprotov5.GetMetadataRequest) (*tfprotov5.GetMetadataResponse, error) {
	r := &tfprotov5.GetMetadataResponse{}
	for name := range s.file.ResourceSchemas {
		r.Resources = append(r.Resources, tfprotov5.ResourceMetadata{TypeName: name})
	}
	return r, nil
}

func (s *server) GetProviderSchema(context.Context, *tfprotov5.GetProviderSchemaRequest) (*tfprotov5.GetProviderSchemaResponse, error) {
	r := &tfprotov5.GetProviderSchemaResponse{Provider: &tfprotov5.Schema{Block: &tfprotov5.SchemaBlock{}}, ResourceSchemas: map[string]*tfprotov5.Schema{}}
	for name, v := range s.file.ResourceSchemas {
		r.ResourceSchemas[name] = &tfprotov5.Schema{Version: v.Version, Block: v.Block.schema()}
	}
	return r, nil
}

func (s *server) PrepareProviderConfig(_ context.Context, r *tfprotov5.PrepareProviderConfigRequest) (*tfprotov5.PrepareProviderConfigResponse, error) {
	return &tfprotov5.PrepareProviderConfigResponse{PreparedConfig: r.Config}, nil
}

func (s *server) ConfigureProvider(context.Context, *tfprotov5.ConfigureProviderRequest) (*tfprotov5.ConfigureProviderResponse, error) {
	return &tfprotov5.ConfigureProviderResponse{}, nil
}

func (s *server) StopProvider(context.Context, *tfprotov5.StopProviderRequest) (*tfprotov5.StopProviderResponse, error) {
	return &tfprotov5.StopProviderResponse{}, nil
}

func (s *server) ValidateResourceTypeConfig(context.Context, *tfprotov5.ValidateResourceTypeConfigRequest) (*tfprotov5.ValidateResourceTypeConfigResponse, error) {
	return &tfprotov5.ValidateResourceTypeConfigResponse{}, nil
}

func (s *server) UpgradeResourceState(_ context.Context, r *tfprotov5.UpgradeResourceStateRequest) (*tfprotov5.UpgradeResourceStateResponse, error) {
	t := s.file.ResourceSchemas[r.TypeName].Block.schema().ValueType()
	v, err := r.RawState.Unmarshal(t)
	if err != nil {
		return nil, err
	}
	d, err := tfprotov5.NewDynamicValue(t, v)
	return &tfprotov5.UpgradeResourceStateResponse{UpgradedState: &d}, err
}

func main() {
	s := &server{}
	if err := json.Unmarshal(schemaJSON, &s.file); err != nil {
		panic(err)
	}
	if err := tf5server.Serve("hashicorp/google", func() tfprotov5.ProviderServer { return s }); err != nil {
		panic(err)
	}
}
