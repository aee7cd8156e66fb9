# A Lambda function that reads Amazon MSK with IAM: no secret at all.

variable "msk_cluster_arn" {
  description = "MSK cluster, provisioned or serverless."
  type        = string
}

variable "bucket" {
  description = "Bucket with the release's zip."
  type        = string
}

variable "release" {
  description = "Version whose zip is in the bucket, like 1.0.0."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets from which the handler is reached."
  type        = list(string)
}

variable "security_group_ids" {
  description = "Security groups of the function."
  type        = list(string)
}

module "orders_to_billing" {
  source = "../../modules/lambda-subscription"

  name = "orders-to-billing"
  subscription = {
    source = "kafka://main/orders"
    sink   = "https://billing.internal.example.com/orders"
  }
  kafka    = { msk_cluster_arn = var.msk_cluster_arn, auth = "iam" }
  start_at = "earliest"

  package = { s3_bucket = var.bucket, s3_key = "kafka-sidecar-lambda_${var.release}_arm64.zip" }
  vpc     = { subnet_ids = var.subnet_ids, security_group_ids = var.security_group_ids }
  batch   = { size = 500, window_seconds = 1 }
  pollers = { min = 1, max = 4 }
  alarms  = { actions = [], lag = 50000, age_seconds = 3600 }
}
