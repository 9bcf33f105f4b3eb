// Command fields reads contract/cases.json from standard input, has Vault's SDK read each value as a field of the case's type, and prints
// where the two differ. A case that is marked as wider is one that Vault refuses, one that is narrower one that only Vault reads.
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/helper/jsonutil"
)

var types = map[string]framework.FieldType{
	"String":               framework.TypeString,
	"LowerCaseString":      framework.TypeLowerCaseString,
	"NameString":           framework.TypeNameString,
	"Int64":                framework.TypeInt64,
	"Float":                framework.TypeFloat,
	"Bool":                 framework.TypeBool,
	"DurationSecond":       framework.TypeDurationSecond,
	"SignedDurationSecond": framework.TypeSignedDurationSecond,
	"Slice":                framework.TypeSlice,
	"StringSlice":          framework.TypeStringSlice,
	"CommaStringSlice":     framework.TypeCommaStringSlice,
	"CommaIntSlice":        framework.TypeCommaIntSlice,
	"Map":                  framework.TypeMap,
	"KvPairs":              framework.TypeKVPairs,
	"Header":               framework.TypeHeader,
	"Time":                 framework.TypeTime,
}

type row struct {
	Type     string
	Given    any
	Read     any
	Wider    bool
	Narrower bool
}

func main() {
	var rows []row
	// As Vault decodes a request: numbers stay as they were written.
	if err := jsonutil.DecodeJSONFromReader(os.Stdin, &rows); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	differ := false
	for _, row := range rows {
		if why := compare(row); why != "" {
			given, _ := json.Marshal(row.Given)
			fmt.Printf("%s from %s: %s\n", row.Type, given, why)
			differ = true
		}
	}
	if differ {
		os.Exit(1)
	}
}

// compare says how Vault reads a row, if it is not as the row says.
func compare(row row) string {
	fieldType, known := types[row.Type]
	if !known {
		return "Vault has no such type"
	}
	data := framework.FieldData{
		Raw:    map[string]any{"f": row.Given},
		Schema: map[string]*framework.FieldSchema{"f": {Type: fieldType}},
	}
	value, _, err := data.GetOkErr("f")
	switch {
	case row.Wider && err == nil, row.Narrower && err != nil:
		return fmt.Sprintf("it is no exception: Vault reads %v, %v", value, err)
	case row.Wider, row.Narrower:
		return ""
	case err != nil && row.Read == nil:
		return ""
	case err != nil:
		return fmt.Sprintf("Vault refuses it: %v", err)
	}
	expected := row.Read
	if number, isNumber := expected.(json.Number); isNumber && fieldType == framework.TypeFloat {
		// However it is written.
		expected, _ = number.Float64()
	}
	if shown := plain(value); !reflect.DeepEqual(shown, plain(expected)) {
		return fmt.Sprintf("Vault reads %#v", shown)
	}
	return ""
}

// plain returns a value as JSON has it, and a moment as seconds.
func plain(value any) any {
	switch typed := value.(type) {
	case time.Time:
		value = typed.Unix()
	case http.Header:
		value = map[string][]string(typed)
	}
	text, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	var decoded any
	if err := jsonutil.DecodeJSON(text, &decoded); err != nil {
		return err.Error()
	}
	return decoded
}
