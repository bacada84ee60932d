// crd-rules says what an API server makes of custom resources: its own code, without the server.
//
// Standard input: {"definition": CRD, "cases": [{"object": {...}, "old": {...} or absent}]}
// Standard output: {"server": ..., "definition": ["error", ...], "cases": [{"errors": [...], "cost": N}]}
//
// The definition is checked as when it is created, with the estimated cost of its rules; objects as in a create, or an update
// of "old": unknown fields are pruned, then schema, list types and rules in CEL. "cost" is what the rules took of the budget.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	definitions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
)

// server names the release that the code is of; set when this is built.
var server = "unknown"

type input struct {
	Definition json.RawMessage `json:"definition"`
	Cases      []struct {
		Object json.RawMessage `json:"object"`
		Old    json.RawMessage `json:"old"`
	} `json:"cases"`
}

type result struct {
	Errors []string `json:"errors"`
	Cost   int64    `json:"cost"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var in input
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	install.Install(scheme)
	given := &v1.CustomResourceDefinition{}
	if err := json.Unmarshal(in.Definition, given); err != nil {
		return err
	}
	scheme.Default(given)
	definition := &apiextensions.CustomResourceDefinition{}
	if err := scheme.Convert(given, definition, nil); err != nil {
		return err
	}
	definition.Status.StoredVersions = []string{definition.Spec.Versions[0].Name}
	ctx := context.Background()
	out := struct {
		Server     string   `json:"server"`
		Definition []string `json:"definition"`
		Cases      []result `json:"cases"`
	}{Server: server, Definition: texts(definitions.ValidateCustomResourceDefinition(ctx, definition))}

	whole := definition.Spec.Versions[0].Schema
	if whole == nil {
		whole = definition.Spec.Validation
	}
	structural, err := schema.NewStructural(whole.OpenAPIV3Schema)
	if err != nil {
		return err
	}
	types, _, err := validation.NewSchemaValidator(whole.OpenAPIV3Schema)
	if err != nil {
		return err
	}
	rules := cel.NewValidator(structural, true, celconfig.PerCallLimit)
	for _, one := range in.Cases {
		object, err := decode(one.Object, structural)
		if err != nil {
			return err
		}
		old, err := decode(one.Old, structural)
		if err != nil {
			return err
		}
		var errs field.ErrorList
		if old == nil {
			errs = validation.ValidateCustomResource(nil, object, types)
		} else {
			errs = validation.ValidateCustomResourceUpdate(nil, object, old, types)
		}
		errs = append(errs, listtype.ValidateListSetsAndMaps(nil, structural, object)...)
		cost := int64(0)
		// As in the server: rules are for objects that have the right types.
		if len(errs) == 0 && rules != nil {
			var before any
			if old != nil {
				before = old
			}
			found, left := rules.Validate(ctx, nil, structural, object, before, celconfig.RuntimeCELCostBudget)
			errs, cost = found, celconfig.RuntimeCELCostBudget-left
		}
		out.Cases = append(out.Cases, result{texts(errs), cost})
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

func decode(text json.RawMessage, structural *schema.Structural) (map[string]any, error) {
	if len(text) == 0 || string(text) == "null" {
		return nil, nil
	}
	var object map[string]any
	if err := utiljson.Unmarshal(text, &object); err != nil {
		return nil, err
	}
	pruning.Prune(object, structural, true)
	return object, nil
}

func texts(errs field.ErrorList) []string {
	all := []string{}
	for _, err := range errs {
		all = append(all, err.Error())
	}
	return all
}
