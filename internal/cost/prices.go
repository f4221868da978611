package cost

import (
	"bytes"
	_ "embed"
	"fmt"
	"time"

	"go.yaml.in/yaml/v4"
)

//go:embed prices.yaml
var pricesFile []byte

// Prices is the list of prices with what is assumed beside them; prices.yaml
// says what each is.
type Prices struct {
	Date         string
	Region       string
	Architecture string
	Prices       struct {
		APIGateway       float64 `yaml:"api_gateway_million"`
		Lambda           float64 `yaml:"lambda_million"`
		LambdaGBSecond   float64 `yaml:"lambda_gb_second"`
		DynamoDBWrite    float64 `yaml:"dynamodb_write_million"`
		DynamoDBRead     float64 `yaml:"dynamodb_read_million"`
		DynamoDBGBMonth  float64 `yaml:"dynamodb_gb_month"`
		DynamoDBRecovery float64 `yaml:"dynamodb_recovery_gb_month"`
		SQS              float64 `yaml:"sqs_million"`
		SQSFair          float64 `yaml:"sqs_fair_million"`
		KMS              float64 `yaml:"kms_million"`
		KMSKey           float64 `yaml:"kms_key_month"`
		LogsGB           float64 `yaml:"logs_gb"`
		LogsGBMonth      float64 `yaml:"logs_gb_month"`
		Metric           float64 `yaml:"metric_month"`
		Alarm            float64 `yaml:"alarm_month"`
		Dashboard        float64 `yaml:"dashboard_month"`
		EgressGB         float64 `yaml:"egress_gb"`
	}
	Assumed struct {
		FreeDashboards int     `yaml:"free_dashboards"`
		EmptyReceives  float64 `yaml:"empty_receives_month"`
		ProcessorMB    float64 `yaml:"memory_of_one_processor_mb"`
		DynamoDBMillis int     `yaml:"dynamodb_ms"`
		SQSMillis      int     `yaml:"sqs_ms"`
		KMSMillis      int     `yaml:"kms_ms"`
		EndpointMillis int     `yaml:"endpoint_ms"`
		ItemOverhead   int     `yaml:"dynamodb_overhead_bytes"`
		LogOverhead    int     `yaml:"log_overhead_bytes"`
		LogCompression float64 `yaml:"log_compression"`
		PlatformLines  int     `yaml:"platform_lines"`
		PlatformBytes  int     `yaml:"platform_bytes"`
		AccessLogBytes int     `yaml:"access_log_bytes"`
		PacketBytes    int64   `yaml:"packet_bytes"`
		PacketOverhead int64   `yaml:"packet_overhead_bytes"`
		TLSRecord      int64   `yaml:"tls_record_bytes"`
		TLSHandshake   int64   `yaml:"tls_handshake_bytes"`
	}
}

// Load reads the list of prices that the program is made with. An error says
// that the file is at fault: a name that is not known, no date, a price below 0.
func Load() (*Prices, error) {
	return parsePrices(pricesFile)
}

func parsePrices(text []byte) (*Prices, error) {
	var p Prices
	if err := strictly(text, &p); err != nil {
		return nil, fmt.Errorf("prices.yaml: %w", err)
	}
	if _, err := time.Parse(time.DateOnly, p.Date); err != nil {
		return nil, fmt.Errorf("prices.yaml: date: %w", err)
	}
	for name, price := range map[string]float64{
		"api_gateway_million": p.Prices.APIGateway, "lambda_million": p.Prices.Lambda, "lambda_gb_second": p.Prices.LambdaGBSecond,
		"dynamodb_write_million": p.Prices.DynamoDBWrite, "dynamodb_read_million": p.Prices.DynamoDBRead, "dynamodb_gb_month": p.Prices.DynamoDBGBMonth,
		"sqs_million": p.Prices.SQS, "kms_million": p.Prices.KMS, "logs_gb": p.Prices.LogsGB, "egress_gb": p.Prices.EgressGB,
		"memory_of_one_processor_mb": p.Assumed.ProcessorMB, "packet_bytes": float64(p.Assumed.PacketBytes),
	} {
		if price <= 0 {
			return nil, fmt.Errorf("prices.yaml: %s: must be above 0", name)
		}
	}
	return &p, nil
}

// strictly reads YAML, and refuses fields that are not known.
func strictly(text []byte, into any) error {
	in := yaml.NewDecoder(bytes.NewReader(text))
	in.KnownFields(true)
	if err := in.Decode(into); err != nil {
		return fmt.Errorf("read YAML: %w", err)
	}
	return nil
}
